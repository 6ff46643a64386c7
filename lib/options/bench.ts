// The options of `ba-sam bench`: of all benchmarks, and of each.
import { z } from 'zod';
import { MAX_LONGEST_SIDE } from '../image/resize';
import { computeShape, dtype } from './compute';
import { readAs, spelled } from './option';
import { badText, readText, wholeNumber } from './text';
import { distinct, filePath, unchanged } from './validate';

export const BENCHMARKS = ['attention', 'encoder', 'decoder', 'event-loop'] as const;
export type Benchmark = (typeof BENCHMARKS)[number];

/** SAM's models, by the name of their image encoder. */
const MODEL_NAMES = ['vit-b', 'vit-l', 'vit-h'] as const;
export type ModelName = (typeof MODEL_NAMES)[number];

/** What is added to the logits: nothing, relative positions, a distance penalty, or both. */
const ATTENTION_BIASES = [
  'none',
  'rel',
  'manhattan',
  'euclidean',
  'chebyshev',
  'rel+manhattan',
  'rel+euclidean',
  'rel+chebyshev',
] as const;
export type AttentionBiases = (typeof ATTENTION_BIASES)[number];

/** `plain` is SAM; the others have BA-SAM's length scale and a distance penalty in global attention. */
const ENCODER_BIASES = ['plain', 'manhattan', 'euclidean', 'chebyshev'] as const;
export type EncoderBiases = (typeof ENCODER_BIASES)[number];

export const PROMPTS = ['point', 'box', 'point+mask'] as const;
export type PromptName = (typeof PROMPTS)[number];

/** What keeps a process busy while its event loop is watched. */
export const EVENT_LOOP_WORKS = ['idle', 'encode-file', 'encode-raw', 'rle', 'prompts'] as const;
export type EventLoopWork = (typeof EVENT_LOOP_WORKS)[number];

const PATCH_PX = 16;
const MAX_SIDE_TOKENS = 1024;

const tokens = z.int().min(1).max(MAX_SIDE_TOKENS);
const grid = readAs(unchanged(z.tuple([tokens, tokens])), (text, name) => {
  const [, h, w] = /^(\d+)x(\d+)$/.exec(text) ?? [];
  if (h === undefined) throw badText(name, 'HEIGHTxWIDTH in tokens', text);
  return [readText(tokens, h, name), readText(tokens, w, name)];
});
/** Side of a window in tokens; null = global attention. */
const window = readAs(tokens.nullable(), (text, name) => {
  const value = text === 'global' ? null : wholeNumber(text);
  if (value !== null && !tokens.safeParse(value).success) {
    throw badText(name, `global or integer between 1 and ${MAX_SIDE_TOKENS}`, text);
  }
  return value;
});
const side = z.int().min(PATCH_PX).max(MAX_LONGEST_SIDE).multipleOf(PATCH_PX);
const size = readAs(side, (text, name) => {
  const value = wholeNumber(text);
  if (!side.safeParse(value).success) {
    throw badText(name, `multiple of ${PATCH_PX} between ${PATCH_PX} and ${MAX_LONGEST_SIDE}`, text);
  }
  return value;
});

export const benchShape = {
  device: computeShape.device,
  runs: spelled(
    z.int().min(1).max(10_000),
    '--runs <n>',
    'measured runs per row (default: at least 5, and more until a second has passed)',
  ).optional(),
  quick: spelled(z.boolean(), '--quick', 'few rows and few runs: less than a minute for all').default(false),
  json: spelled(filePath, '--json <file>', 'result of one benchmark, .json').optional(),
  results: spelled(
    filePath,
    '--results <dir>',
    'folder that gets <date>-bench-<benchmark>.json of each, replaced if it exists; left alone with --quick',
  ).optional(),
  gemm: spelled(
    z.int().min(1).max(32_768),
    '--gemm <side>',
    'side of the product that rates are compared with',
  ).optional(),
};

const grids = spelled(
  distinct(grid),
  '--grids <list>',
  'heights and widths in tokens, 64x64,128x128',
).optional();
const dtypes = spelled(
  distinct(dtype),
  '--dtypes <list>',
  'of what the device has (default: all)',
).optional();
const profile = spelled(z.boolean(), '--profile', 'time per op').default(false);

/** Of one benchmark each; an option of two may stand in both. */
export const caseShapes = {
  attention: {
    grids,
    headDims: spelled(
      distinct(z.int().min(1).max(256)),
      '--head-dims <list>',
      'D, channels per head',
    ).optional(),
    heads: spelled(distinct(z.int().min(1).max(64)), '--heads <list>', 'numbers of heads').optional(),
    windows: spelled(
      distinct(window),
      '--windows <list>',
      'sides of windows in tokens, or global',
    ).optional(),
    biases: spelled(
      distinct(z.enum(ATTENTION_BIASES)),
      '--biases <list>',
      `of the encoder ${ENCODER_BIASES.join(', ')}; of attention`,
    ).optional(),
    dtypes,
  },
  encoder: {
    models: spelled(distinct(z.enum(MODEL_NAMES)), '--models <list>', '').optional(),
    sizes: spelled(distinct(size), '--sizes <list>', 'sides of the input in px').optional(),
    biases: spelled(distinct(z.enum(ENCODER_BIASES)), '--biases <list>', '').optional(),
    f8: computeShape.f8,
    dtypes,
    profile,
  },
  decoder: {
    grids,
    prompts: spelled(distinct(z.enum(PROMPTS)), '--prompts <list>', '').optional(),
    batches: spelled(distinct(z.int().min(1).max(1024)), '--batches <list>', 'prompts per call').optional(),
    profile,
  },
  'event-loop': {
    works: spelled(
      distinct(z.enum(EVENT_LOOP_WORKS)),
      '--works <list>',
      'nothing, a photograph of 12 megapixels from a file or as pixels, runs of 12 megapixels of noise, 100,000 prompts;',
    ).optional(),
  },
} satisfies Record<Benchmark, z.ZodRawShape>;

/** The names of all options of single benchmarks, each with the benchmarks that have it. */
export function caseOwners(): ReadonlyMap<string, readonly Benchmark[]> {
  const names = new Set(BENCHMARKS.flatMap((benchmark) => Object.keys(caseShapes[benchmark])));
  return new Map(
    [...names].map((name) => [name, BENCHMARKS.filter((benchmark) => name in caseShapes[benchmark])]),
  );
}

/** The type of an option of single benchmarks, as its first owner has it. */
export function caseOption(name: string, owners: readonly Benchmark[]): z.core.$ZodType {
  const shape: z.ZodRawShape = caseShapes[owners[0]];
  return shape[name];
}

type RowsOf<S extends z.ZodRawShape> = Partial<z.output<z.ZodObject<S>>>;

/** What rows of a benchmark were asked for; everything that is absent comes from its default set, or from the quick one. */
export type AttentionRows = RowsOf<Omit<typeof caseShapes.attention, 'dtypes'>>;
export type EncoderRows = RowsOf<Omit<typeof caseShapes.encoder, 'dtypes'>>;
export type DecoderRows = RowsOf<typeof caseShapes.decoder>;
export type EventLoopRows = RowsOf<(typeof caseShapes)['event-loop']>;
