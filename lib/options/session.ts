// The options of Session, and of the runs of one's own graphs.
import { z } from 'zod';
import { type CallOptions, callShape, type ProfileOptions, profileShape } from './call';
import { DEVICES, deviceText } from './compute';
import type { OptionsOf } from './option';

/** The device that a request ended at, as `resolveDevice` gives it. */
const resolvedDevice = z.union([
  z.strictObject({ kind: z.literal('cpu') }),
  z.strictObject({ kind: z.literal('cuda'), index: z.int().min(0) }),
]);

const sessionShape = {
  /** Default `auto`. */
  device: z.union([deviceText, resolvedDevice], { error: `Expected ${DEVICES}` }).default('auto'),
  /** CUDA: f32 products round their operands to 10 bits of mantissa, and are several times as fast. Default false. */
  tf32: z.boolean().default(false),
  /** CPU: threads of this session's work. Default: all of the compute team. */
  threads: z.int().min(1).max(1024).optional(),
  /** CPU: instruction set of the attention kernels: scalar, avx2, avx512 or avx512_bf16. Default: the best one. */
  isa: z.string().optional(),
};
export const sessionSchema = z.strictObject(sessionShape);

/** Where a session computes. */
export interface SessionOptions extends OptionsOf<typeof sessionShape> {}

/** What a run accepts besides its inputs: `onProgress` is called at most every 30 ms, on the event loop. */
export interface RunOptions extends CallOptions, ProfileOptions {}

const holdShape = {
  /** The outputs stay in native memory, for later runs of this session: see {@link Held}. Default false. */
  hold: z.boolean().default(false),
};
export const sessionRunSchema = z.strictObject({ ...callShape, ...profileShape, ...holdShape });

/** Of a run of one's own graph. */
export interface SessionRunOptions extends RunOptions, OptionsOf<typeof holdShape> {}

const weightShape = {
  /**
   * The bytes are moved instead of copied, as `postMessage` moves what is in its list: their ArrayBuffer is detached when the call
   * returns. For large weights that nobody needs afterwards. What cannot be moved (a part of a larger buffer, a
   * SharedArrayBuffer) is copied. Default false.
   */
  transfer: z.boolean().default(false),
};
export const sessionWeightSchema = z.strictObject(weightShape);

/** Of a weight given to a session. */
export interface SessionWeightOptions extends OptionsOf<typeof weightShape> {}
