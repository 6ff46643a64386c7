// What the functions take that build a model's graphs, for who runs them in a session of his own.
import { z } from 'zod';
import { dtype } from './compute';
import { metric, mode } from './settings';

const MAX_SIDE = 2 ** 24;
const side = z.int().min(1).max(MAX_SIDE);

/** A grid of tokens. */
export const gridSchema = z.strictObject({ h: side, w: side });

/** A mask decoder's configuration; within these bounds a graph can be built. */
export const decoderConfigSchema = z.object({
  dim: side,
  depth: z.int().min(1).max(64),
  heads: z.literal(8),
  mlpDim: side,
  maskTokens: z.int().min(2).max(64),
  maskChannels: side,
  iouDim: side,
  hq: z.object({ earlyChannels: side }).optional(),
});

/** One with SAM-HQ's additions. */
export const hqConfigSchema = decoderConfigSchema.required({ hq: true });

export const hqSizeSchema = z.strictObject({ batch: side, grid: gridSchema });

export const maskDecoderSchema = z.strictObject({
  grid: gridSchema,
  input: z.strictObject({ width: side, height: side }),
  prompts: side,
  tokens: z.int().min(0).max(MAX_SIDE),
  maskPrompt: z.boolean(),
  multimask: z.boolean(),
  imageTokens: z.boolean().optional(),
});

export const imageEncoderSchema = z.strictObject({
  batch: side,
  grid: gridSchema,
  settings: z.strictObject({
    mode,
    lengthScale: z.boolean(),
    distance: z.strictObject({ metric, slopes: z.array(z.number()), start: z.number() }).nullable(),
  }),
  dtype,
  f8: z.boolean().optional(),
  pixels: z.enum(['normalised', 'photograph']).optional(),
  taps: z.array(z.string()).optional(),
});
