#!/usr/bin/env node
// The command line tool `ba-sam`. Commands load what they need themselves, so that --version and --help are instant.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { addBenchCommand } from './bench-options';
import type { EncodeCommandOptions } from './encode';
import { badValue, Interrupted, outcome, SIGNALS, singleLine } from './errors';
import { addEvaluateCommand } from './evaluate-options';
import { addSharedOptions, filePath, parseNumbers } from './options';
import type { SegmentCommandOptions } from './segment';

const STATUS_USAGE = 2;

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
    .argument('[model]', 'checkpoint', filePath('MODEL'))
    .option('--json', 'machine-readable')
    .action(async (model: string | undefined, options: { json?: boolean }) => {
      await (await import('./info.js')).info(model, options);
    });

  addSharedOptions(
    root
      .command('encode')
      .description('encode an image, or normalised pixel_values [B, 3, H, W] of a .safetensors file')
      .argument('<in>', 'image or .safetensors', filePath('IN')),
  )
    .requiredOption('-o, --output <file>', 'embedding, .safetensors', filePath('--output'))
    .action(async (input: string, options: EncodeCommandOptions) => {
      await (await import('./encode.js')).encode(input, options, signal);
    });

  addSharedOptions(
    root
      .command('segment')
      .description('segment an image')
      .argument('<image>', 'image file', filePath('IMAGE')),
  )
    .addOption(
      new Option('--point <x,y[,label]>', 'pixel; label 1 (default) inside, 0 outside; repeatable').argParser(
        (text: string, all: number[][] = []) => [...all, point(text)],
      ),
    )
    .addOption(
      new Option('--box <x0,y0,x1,y1>', 'pixels; repeatable, one prompt each').argParser(
        (text: string, all: number[][] = []) => [...all, box(text)],
      ),
    )
    .option(
      '--mask-input <file>',
      'low-resolution logits of an earlier call (--low-res)',
      filePath('--mask-input'),
    )
    .option('--multimask', 'three masks per prompt')
    .requiredOption(
      '-o, --output <file>',
      'mask, .png or .webp: the best of each prompt, united',
      filePath('--output'),
    )
    .option('--overlay <file>', 'picture with masks and prompts drawn in', filePath('--overlay'))
    .option('--json <file>', 'scores, areas, boxes and run-length encoded masks', filePath('--json'))
    .option('--low-res <file>', 'low-resolution logits, .safetensors', filePath('--low-res'))
    .option(
      '--embedding <file>',
      'embedding, .safetensors: used when it exists, otherwise written',
      filePath('--embedding'),
    )
    .action(async (image: string, options: SegmentCommandOptions) => {
      await (await import('./segment.js')).segment(image, options, signal);
    });

  addEvaluateCommand(root, signal);
  addBenchCommand(root, signal);

  for (const command of [root, ...root.commands])
    command.exitOverride().configureOutput({ writeErr: () => {} });
  return root;
}

function point(text: string): number[] {
  const values = parseNumbers(text, '--point', 2, 3);
  if (values.length === 3 && values[2] !== 0 && values[2] !== 1) {
    throw badValue('--point', 'label 0 or 1', text);
  }
  return values;
}

function box(text: string): number[] {
  const values = parseNumbers(text, '--box', 4, 4);
  const [x0, y0, x1, y1] = values;
  if (!(x0 < x1 && y0 < y1)) {
    throw badValue('--box', 'X0 < X1 and Y0 < Y1', text);
  }
  return values;
}

function fail(status: number, line: string): void {
  process.stderr.write(`ba-sam: ${singleLine(line)}\n`);
  process.exitCode = status;
}

async function main(): Promise<void> {
  const controller = new AbortController();
  // Once: a second Ctrl-C ends the process at once.
  for (const name of Object.keys(SIGNALS) as (keyof typeof SIGNALS)[]) {
    process.once(name, () => controller.abort(new Interrupted(name)));
  }
  // `ba-sam info | head -1` closes our stdout early: that is the reader's right, not an error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') fail(STATUS_USAGE, `Cannot write to stdout: ${error.message}`);
  });
  // Where nothing can be said, the exit status still is.
  process.stderr.on('error', () => {});
  const root = program(controller.signal);
  try {
    await root.parseAsync(process.argv.slice(2), { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return;
      const line =
        error.code === 'commander.help'
          ? 'Expected a command: info, encode, segment, evaluate or bench (see --help)'
          : error.message;
      return fail(STATUS_USAGE, line.replace(/^error: /, ''));
    }
    const { status, line } = outcome(error);
    fail(status, line);
  }
}

void main();
