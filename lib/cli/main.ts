#!/usr/bin/env node
// The command line tool `ba-sam`. Commands load what they need themselves, so that --version and --help are instant.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import type { EncodeCommandOptions } from './encode';
import { outcome, singleLine, UsageError } from './errors';
import { addSharedOptions, parseNumbers } from './options';
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
    .argument('[model]', 'checkpoint')
    .option('--json', 'machine-readable')
    .action(async (model: string | undefined, options: { json?: boolean }) => {
      await (await import('./info.js')).info(model, options);
    });

  addSharedOptions(
    root
      .command('encode')
      .description('encode an image, or normalised pixel_values [B, 3, H, W] of a .safetensors file')
      .argument('<in>', 'image or .safetensors'),
  )
    .requiredOption('-o, --output <file>', 'embedding, .safetensors')
    .action(async (input: string, options: EncodeCommandOptions) => {
      await (await import('./encode.js')).encode(input, options, signal);
    });

  addSharedOptions(root.command('segment').description('segment an image').argument('<image>', 'image file'))
    .addOption(
      new Option('--point <x,y[,label]>', 'pixel; label 1 (default) inside, 0 outside; repeatable').argParser(
        (text: string, all: number[][] = []) => [...all, point(text)],
      ),
    )
    .addOption(
      new Option('--box <x0,y0,x1,y1>', 'pixels; repeatable, one prompt each').argParser(
        (text: string, all: number[][] = []) => [...all, parseNumbers(text, '--box', 4, 4)],
      ),
    )
    .option('--mask-input <file>', 'low-resolution logits of an earlier call (--low-res)')
    .option('--multimask', 'three masks per prompt')
    .requiredOption('-o, --output <file>', 'mask, .png or .webp: the best of each prompt, united')
    .option('--overlay <file>', 'picture with masks and prompts drawn in')
    .option('--json <file>', 'scores, areas, boxes and run-length encoded masks')
    .option('--low-res <file>', 'low-resolution logits, .safetensors')
    .option('--embedding <file>', 'embedding, .safetensors: used when it exists, otherwise written')
    .action(async (image: string, options: SegmentCommandOptions) => {
      await (await import('./segment.js')).segment(image, options, signal);
    });

  for (const command of [root, ...root.commands])
    command.exitOverride().configureOutput({ writeErr: () => {} });
  return root;
}

function point(text: string): number[] {
  const values = parseNumbers(text, '--point', 2, 3);
  if (values.length === 3 && values[2] !== 0 && values[2] !== 1) {
    throw new UsageError(`Expected label 0 or 1 for --point but received ${JSON.stringify(text)}`);
  }
  return values;
}

// "--point -5,3": commander takes "-5,3" for options. Joined by "=", it is a value.
function joinNegativeValues(argv: readonly string[]): string[] {
  const out: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const next = argv[i + 1];
    if (
      /^--(point|box|slopes|start|longest-side)$/.test(argv[i]) &&
      next !== undefined &&
      /^-[\d.]/.test(next)
    ) {
      out.push(`${argv[i]}=${next}`);
      i++;
    } else out.push(argv[i]);
  }
  return out;
}

function fail(status: number, line: string): void {
  process.stderr.write(`ba-sam: ${singleLine(line)}\n`);
  process.exitCode = status;
}

async function main(): Promise<void> {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  // `ba-sam info | head -1` closes our stdout early: that is the reader's right, not an error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  const root = program(controller.signal);
  try {
    await root.parseAsync(joinNegativeValues(process.argv.slice(2)), { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return;
      const line =
        error.code === 'commander.help'
          ? 'Expected a command: info, encode or segment (see --help)'
          : error.message;
      return fail(STATUS_USAGE, line.replace(/^error: /, ''));
    }
    const { status, line } = outcome(error);
    fail(status, line);
  }
}

void main();
