// The options of `ba-sam evaluate`, as text: what they may be is checked in evaluate.ts, which is loaded when it is needed.
import type { Command } from 'commander';
import { filePath } from './options';

/** Options as commander hands them over. */
export interface EvaluateCommandOptions {
  dataset?: string;
  root?: string;
  split?: string;
  suite?: string;
  config?: string;
  strict?: boolean;
  limit?: string;
  model?: string;
  device?: string;
  dtype?: string;
  tf32?: boolean;
  f8?: boolean;
  sizes?: string;
  attention?: string;
  distance?: string;
  slopes?: string;
  start?: string;
  pad: boolean;
  prompt?: string;
  grid?: string;
  combine?: string;
  multimask?: boolean;
  metrics?: string;
  normalize: boolean;
  averageF?: string;
  out: string;
  resume?: boolean;
  workers?: string;
}

/** Adds the command to the tool. */
export function addEvaluateCommand(root: Command, signal: AbortSignal): void {
  root
    .command('evaluate')
    .description('evaluate a model on a dataset, at several sizes and with several attention settings')
    .option('--dataset <name>', 'dis5k, duts, isic2016, cod10k, coco or folder')
    .option('--root <dir>', 'folder of the dataset', filePath('--root'))
    .option('--split <name>', 'part of the dataset')
    .option('--suite <name>', 'general: several datasets, named in --config; instead of --dataset')
    .option('--config <file>', 'the datasets of --suite, .json', filePath('--config'))
    .option('--strict', 'an image that cannot be used is an error')
    .option('--limit <n>', 'only the first images')
    .option('--model <file>', 'checkpoint (default: the small bundled model)', filePath('--model'))
    .option('--device <list>', 'auto, cpu, cuda or cuda:<index>; several for the workers to take in turn')
    .option('--dtype <dtype>', 'f32, bf16, f16 (default: f32)')
    .option('--tf32', 'CUDA with f32: products with operands of 10 bits, for speed')
    .option('--f8', 'linear layers of the image encoder with operands of 8 bits (e4m3)')
    .option('--sizes <list>', 'lengths of the longer side in px (default: the trained side)')
    .option(
      '--attention <list>',
      'plain, length-scale, paper, released-code (default: plain,length-scale,paper)',
    )
    .option('--distance <metric>', 'distance penalty of paper: manhattan, euclidean (default), chebyshev')
    .option('--slopes <slopes>', 'its slopes: alibi, one number (default: 0.1), or one per head: X,X,…')
    .option('--start <tokens>', 'its distance per axis that costs nothing (default: 0)')
    .option('--no-pad', 'round sides up to whole patches instead of padding to a square')
    .option('--prompt <kind>', 'gt-box (default), gt-point, center, grid')
    .option('--grid <n>', 'points per side of --prompt grid (default: 4)')
    .option('--combine <rule>', 'how the masks of --prompt grid become one: best (default), union')
    .option('--multimask', 'the best-scored of three masks per prompt')
    .option(
      '--metrics <list>',
      'mae, f-measure, weighted-f-measure, s-measure, e-measure, hce, iou, dice, boundary-iou, ap',
    )
    .option('--no-normalize', 'measure maps as they are instead of stretching each to 0 … 1')
    .option('--average-f <over>', 'F-measure: image (default), or dataset as in IS-Net')
    .requiredOption('--out <dir>', 'folder for results and journal', filePath('--out'))
    .option('--resume', 'go on with the evaluation in --out')
    .option('--workers <n>', 'processes (default: 1)')
    .action(async (options: EvaluateCommandOptions) => {
      await (await import('./evaluate.js')).runEvaluate(options, signal);
    });
}
