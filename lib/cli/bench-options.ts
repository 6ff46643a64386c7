// The options of `ba-sam bench`, as text: what they may be is checked in bench.ts, which is loaded when it is needed.
import type { Command } from 'commander';
import { filePath } from './options';

/** Options as commander hands them over. */
export interface BenchCommandOptions {
  device: string;
  dtypes?: string;
  runs?: string;
  quick?: boolean;
  profile?: boolean;
  gemm?: string;
  json?: string;
  results?: string;
  grids?: string;
  heads?: string;
  headDims?: string;
  windows?: string;
  biases?: string;
  models?: string;
  sizes?: string;
  f8?: boolean;
  prompts?: string;
  batches?: string;
}

const NOTES = `
Inputs are random, and so are weights, except that the decoder is the bundled model's. Every row is measured in a process of
its own: median, fastest and slowest run, rate and its share of the rate of the library's own matrix product in that process,
measured before and after.
  attention  the fused kernel alone; 4·N·N·D·heads operations (windows: 4·N·window²·D·heads), both products over N tokens
  encoder    the sum of all ops on the CPU, a whole run with its copies on CUDA
  decoder    one call of Sam.predict as a program sees it, in f32
Lists are separated by commas; options of one benchmark need its name.
`;

/** Adds the command to the tool. */
export function addBenchCommand(root: Command, signal: AbortSignal): void {
  root
    .command('bench')
    .description('measure this machine: attention, encoder or decoder; all three without a name')
    .argument('[benchmark]', 'attention, encoder or decoder')
    .option('--device <device>', 'auto, cpu, cuda or cuda:<index>', 'auto')
    .option('--runs <n>', 'measured runs per row (default: at least 5, and more until a second has passed)')
    .option('--quick', 'few rows and few runs: less than a minute for all three')
    .option('--json <file>', 'result of one benchmark, .json', filePath('--json'))
    .option(
      '--results <dir>',
      'folder that gets <date>-bench-<benchmark>.json of each, replaced if it exists; left alone with --quick',
      filePath('--results'),
    )
    .option('--gemm <side>', 'side of the product that rates are compared with')
    .optionsGroup('Attention:')
    .option('--grids <list>', 'heights and widths in tokens, 64x64,128x128; also of the decoder')
    .option('--head-dims <list>', 'D, channels per head')
    .option('--heads <list>', 'numbers of heads')
    .option('--windows <list>', 'sides of windows in tokens, or global')
    .option(
      '--biases <list>',
      'none, rel, manhattan, euclidean, chebyshev, rel+manhattan, …; of the encoder: plain, manhattan, …',
    )
    .optionsGroup('Attention and encoder:')
    .option('--dtypes <list>', 'f32, bf16, f16 (default: what the device has)')
    .optionsGroup('Encoder:')
    .option('--models <list>', 'vit-b, vit-l, vit-h')
    .option('--sizes <list>', 'sides of the input in px')
    .option('--f8', 'linear layers with operands of 8 bits (e4m3)')
    .optionsGroup('Decoder:')
    .option('--prompts <list>', 'point, box, point+mask')
    .option('--batches <list>', 'prompts per call')
    .optionsGroup('Encoder and decoder:')
    .option('--profile', 'time per op')
    .addHelpText('after', NOTES)
    .action(async (benchmark: string | undefined, options: BenchCommandOptions) => {
      await (await import('./bench.js')).runBench(benchmark, options, signal);
    });
}
