// The options that encode and segment share, parsed strictly and checked before a model is loaded.
import { type Command, Option } from 'commander';
import { MAX_LONGEST_SIDE } from '../image/resize';
import type { BaSamSettings } from '../model/ba-sam';
import type { ComputeDType } from '../model/weights';
import type { LoadOptions } from '../sam';
import { badValue, UsageError } from './errors';

/** Options as commander hands them over: text, or what a parser below made of it. */
export interface SharedOptions {
  model?: string;
  longestSide?: number;
  pad: boolean;
  device: string;
  /** Undefined unless given: an existing embedding keeps its own. */
  dtype?: ComputeDType;
  tf32?: boolean;
  f8?: boolean;
  lengthScale?: boolean;
  distance?: string;
  slopes?: number[] | number | 'alibi';
  start?: number;
  mode?: string;
}

export const METRICS = ['manhattan', 'euclidean', 'chebyshev'];
export const DTYPES = ['f32', 'bf16', 'f16'];
const MODES = ['paper', 'released-code'];

/** Adds the shared options to a command. */
export function addSharedOptions(command: Command): Command {
  return command
    .option('--model <file>', 'checkpoint (default: the small bundled model)', filePath('--model'))
    .option(
      '--longest-side <px>',
      'length of the longer side (default: the trained side)',
      integer('--longest-side', MAX_LONGEST_SIDE),
    )
    .option('--no-pad', 'round sides up to whole patches instead of padding to a square')
    .option('--device <device>', 'auto, cpu, cuda or cuda:<index>', device, 'auto')
    .option('--dtype <dtype>', `${DTYPES.join(', ')} (default: f32)`, oneOf('--dtype', DTYPES))
    .option('--tf32', 'CUDA with f32: products with operands of 10 bits, for speed')
    .option('--f8', 'linear layers of the image encoder with operands of 8 bits (e4m3)')
    .option('--length-scale', "BA-SAM's scaling factor ln(N) / ln(N of training)")
    .addOption(
      new Option('--distance <metric>', `distance penalty: ${METRICS.join(', ')}`).argParser(
        oneOf('--distance', METRICS),
      ),
    )
    .option('--slopes <slopes>', 'alibi (default), one number, or one per head: X,X,…', slopes)
    .option('--start <tokens>', 'distance per axis that costs nothing (default 0)', (text) =>
      penalty('--start', text),
    )
    .option('--mode <mode>', MODES.join(', '), oneOf('--mode', MODES));
}

/** What `Sam.load` gets besides the settings. */
export function loadOptions(options: SharedOptions): Pick<LoadOptions, 'device' | 'dtype' | 'tf32' | 'f8'> {
  const { device, dtype, tf32, f8 } = options;
  return { device: device as LoadOptions['device'], dtype, tf32, f8 };
}

/**
 * BA-SAM's settings that the options ask for.
 *
 * @throws UsageError for combinations that make no sense with any model
 */
export function settingsOf(options: SharedOptions): BaSamSettings {
  const { lengthScale, distance, slopes, start } = options;
  const mode = options.mode as BaSamSettings['mode'];
  if (distance === undefined) {
    if (slopes === undefined && start === undefined) return { mode, lengthScale };
    const option = slopes === undefined ? '--start' : '--slopes';
    throw new UsageError(
      `Expected --distance together with ${option}: without a metric there is no distance penalty`,
    );
  }
  if (mode === 'released-code') {
    throw new UsageError(
      'Expected no --distance together with --mode released-code: the released code has no distance penalty',
    );
  }
  const metric = distance as 'manhattan';
  return { mode, lengthScale, distance: { metric, slopes: slopes ?? 'alibi', start } };
}

/** A parser for the path of a file. */
export function filePath(name: string) {
  return (text: string): string => {
    if (text === '' || text.includes('\0')) throw badValue(name, 'the path of a file', text);
    return text;
  };
}

// Slopes and starts: far beyond any use, and their products are still finite in f32.
const LARGEST_PENALTY = 1e30;

/** A finite decimal number and nothing else: "12abc", "0x10", "1e999" and "" are refused. */
export function parseNumber(text: string, name: string): number {
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(value)) throw badValue(name, 'a number', text);
  return value;
}

/** Numbers separated by commas, between `low` and `high` of them. */
export function parseNumbers(text: string, name: string, low: number, high: number): number[] {
  const parts = text.split(',');
  if (parts.length < low || parts.length > high) {
    const count = low === high ? `${low}` : `${low} to ${high}`;
    throw badValue(name, `${count} numbers separated by commas`, text);
  }
  return parts.map((part) => parseNumber(part, name));
}

export function penalty(name: string, text: string): number {
  const value = parseNumber(text, name);
  if (!(value >= 0 && value <= LARGEST_PENALTY)) throw badValue(name, 'a number between 0 and 1e30', text);
  return value;
}

/** A parser for an integer between 1 and `highest`. */
export function integer(name: string, highest: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : 0;
    if (!(value >= 1 && value <= highest)) throw badValue(name, `integer between 1 and ${highest}`, text);
    return value;
  };
}

/** What `parse` makes of an option; undefined when it was not given. */
export function given<T>(text: string | undefined, parse: (text: string) => T): T | undefined {
  return text === undefined ? undefined : parse(text);
}

/** A parser for one of some words. */
export function choice<T extends string>(name: string, allowed: readonly T[]): (text: string) => T {
  return oneOf(name, allowed) as (text: string) => T;
}

/** A parser for values separated by commas, none of them twice. */
export function list<T>(name: string, item: (text: string) => T): (text: string) => T[] {
  return (text) => {
    const items = text.split(',').map(item);
    if (new Set(items.map(String)).size !== items.length) throw badValue(name, 'no value twice', text);
    return items;
  };
}

export function oneOf(name: string, allowed: readonly string[]) {
  return (text: string): string => {
    if (!allowed.includes(text)) throw badValue(name, `one of ${allowed.join(', ')}`, text);
    return text;
  };
}

export function device(text: string): string {
  if (!/^(auto|cpu|cuda(:\d{1,3})?)$/.test(text)) {
    throw badValue('--device', 'auto, cpu, cuda or cuda:<index>', text);
  }
  return text;
}

export function slopes(text: string): SharedOptions['slopes'] {
  if (text === 'alibi') return text;
  const values = text.split(',').map((part) => penalty('--slopes', part));
  return values.length === 1 ? values[0] : values;
}
