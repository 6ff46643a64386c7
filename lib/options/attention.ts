// What the fused attention by itself can be told.
import { z } from 'zod';
import { deviceText } from './compute';
import type { OptionsOf } from './option';
import { distanceShape, MAX_HEADS } from './settings';
import { abortSignal, float32Array, tensorData } from './validate';

/** As native/ops/attention/params.h has it. */
const MAX_FACTOR = 1e30;
const integer = (low: number, high: number) => z.int().min(low).max(high);

const attentionShape = {
  /** H. */
  heads: integer(1, MAX_HEADS),
  /** D = channels per head, at most 256. */
  headDim: integer(1, 256),
  /** B; default 1. */
  batch: integer(1, 65536).default(1),
  /** Multiplies q·k only, never a bias; default 1/√D. */
  scale: z.number().min(-MAX_FACTOR).max(MAX_FACTOR).optional(),
  /** Token grid, needed by everything below. Then q, k and v have gridH · gridW tokens. */
  grid: z.strictObject({ h: integer(1, 65536), w: integer(1, 65536) }).optional(),
  /** Window side in tokens; default 0 = global. */
  window: integer(0, 1024).default(0),
  /** Key and value of pad tokens in border windows, [H·D] each, dtype of q; needed with `window`. */
  padK: tensorData.optional(),
  padV: tensorData.optional(),
  /** [2·Gh − 1, D] and [2·Gw − 1, D] (windows: [2·window − 1, D]); both or none. */
  relPosH: float32Array.optional(),
  relPosW: float32Array.optional(),
  /** Distance penalty: −slope · distance in tokens, as BA-SAM's settings have it. */
  distance: z.strictObject(distanceShape).optional(),
  /** What the bits of a Uint16Array are; default `bf16`. The CPU has no `f16`. */
  dtype: z.enum(['bf16', 'f16']).optional(),
  /** Default `cpu`. */
  device: deviceText.default('cpu'),
  /** CPU: forces an instruction set: scalar, avx2, avx512 or avx512_bf16. Default: the best one. */
  isa: z.string().optional(),
  /** CPU: default all of the compute team. */
  threads: integer(1, 1024).optional(),
  /** Aborting rejects with the signal's reason. */
  signal: abortSignal.optional(),
};
export const attentionSchema = z.strictObject(attentionShape);

/** Options of `attention()`. */
export interface AttentionOptions extends OptionsOf<typeof attentionShape> {}
