#!/usr/bin/env node
// The command line tool `ba-sam`. Commands load what they need themselves, so that --version and --help are instant.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError } from 'commander';
import { visible } from '../errors';
import { outcome } from './errors';
import type { Texts } from './flags';
import { onInterrupt } from './interrupt';

const STATUS_USAGE = 2;

const BENCH_NOTES = `
Inputs are random, and so are weights, except that the decoder is the bundled model's. Every row is measured in a process of
its own: median, fastest and slowest run, rate and its share of the rate of the library's own matrix product in that process,
measured before and after.
  attention  the fused kernel alone; 4·N·N·D·heads operations (windows: 4·N·window²·D·heads), both products over N tokens
  encoder    the sum of all ops on the CPU, a whole run with its copies on CUDA
  decoder    one call of Sam.predict as a program sees it, in f32
Lists are separated by commas; options of one benchmark need its name.
`;

function version(): string {
  const file = path.join(path.dirname(path.dirname(__dirname)), 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

function program(signal: AbortSignal): Command {
  const root = new Command('ba-sam')
    .description('Segment Anything at any resolution')
    .version(version())
    .showHelpAfterError(false)
    .configureOutput({ writeErr: () => {} }); // errors are printed in one place: fail()

  root
    .command('info')
    .description('backends, processor features, threads; the configuration of a model')
    .argument('[model]', 'checkpoint')
    .action(async (model: string | undefined, texts: Texts) => {
      await (await import('./info.js')).info(model, texts);
    });
  root
    .command('encode')
    .description('encode an image, or normalised pixel_values [B, 3, H, W] of a .safetensors file')
    .argument('<in>', 'image or .safetensors')
    .action(async (input: string, texts: Texts) => {
      await (await import('./encode.js')).encode(input, texts, signal);
    });
  root
    .command('segment')
    .description('segment an image')
    .argument('<image>', 'image file')
    .action(async (image: string, texts: Texts) => {
      await (await import('./segment.js')).segment(image, texts, signal);
    });
  root
    .command('evaluate')
    .description('evaluate a model on a dataset, at several sizes and with several attention settings')
    .action(async (texts: Texts) => {
      await (await import('./evaluate.js')).runEvaluate(texts, signal);
    });
  root
    .command('bench')
    .description('measure this machine: attention, encoder, decoder or event-loop; all without a name')
    .argument('[benchmark]', 'attention, encoder or decoder')
    .addHelpText('after', BENCH_NOTES)
    .action(async (benchmark: string | undefined, texts: Texts) => {
      await (await import('./bench.js')).runBench(benchmark, texts, signal);
    });

  for (const command of [root, ...root.commands])
    command.exitOverride().configureOutput({ writeErr: () => {} });
  return root;
}

function fail(status: number, line: string): void {
  process.stderr.write(`ba-sam: ${visible(line)}\n`);
  process.exitCode = status;
}

/** Runs one command line; what it says goes to stdout and stderr, how it ended is `process.exitCode`. */
export async function main(args: readonly string[]): Promise<void> {
  const signal = onInterrupt();
  // `ba-sam info | head -1` closes our stdout early: that is the reader's right, not an error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') fail(STATUS_USAGE, `Cannot write to stdout: ${error.message}`);
  });
  // Where nothing can be said, the exit status still is.
  process.stderr.on('error', () => {});
  const root = program(signal);
  try {
    // Only where a command is named: --version and --help load no schemas.
    const named = root.commands.filter((command) => args.includes(command.name()));
    if (named.length > 0) {
      const { addCommandFlags } = await import('./command-flags.js');
      for (const command of named) addCommandFlags(command);
    }
    await root.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return;
      const line =
        error.code === 'commander.help'
          ? 'Expected a command: info, encode, segment, evaluate or bench (see --help)'
          : error.message;
      // commander puts its suggestion on a line of its own.
      return fail(STATUS_USAGE, line.replace(/^error: /, '').replace(/\n(?=\(Did you mean )/, ' '));
    }
    const { status, line } = outcome(error);
    fail(status, line);
  }
}

if (require.main === module) void main(process.argv.slice(2));
