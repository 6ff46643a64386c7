// The fused attention kernel by itself: for microbenchmarks, and for people who want only that.
import { z } from 'zod';
import type { TensorData } from './addon';
import { type Device, resolveDevice } from './device';
import { invalidArgument } from './errors';
import { METRICS } from './graph/ops';
import { trackNative } from './graph/session';
import { cudaAddon, native } from './native';
import { abortSignal, float32Array, isTypedArray, parse } from './options/validate';

export interface AttentionOptions {
  /** H. */
  heads: number;
  /** D = channels per head, at most 256. */
  headDim: number;
  /** B; default 1. */
  batch?: number;
  /** Multiplies q·k only, never a bias; default 1/√D. */
  scale?: number;
  /** Token grid, needed by everything below. Then q, k and v have gridH · gridW tokens. */
  grid?: { h: number; w: number };
  /** Window side in tokens; default 0 = global. */
  window?: number;
  /** Key and value of pad tokens in border windows, [H·D] each, dtype of q; needed with `window`. */
  padK?: Float32Array | Uint16Array;
  padV?: Float32Array | Uint16Array;
  /** [2·Gh − 1, D] and [2·Gw − 1, D] (windows: [2·window − 1, D]); both or none. */
  relPosH?: Float32Array;
  relPosW?: Float32Array;
  /** Distance penalty: −slope · distance in tokens, per axis max(0, |d| − start). */
  distance?: { metric: 'manhattan' | 'euclidean' | 'chebyshev'; slopes: Float32Array; start?: number };
  /** What the bits of a Uint16Array are; default `bf16`. The CPU has no `f16`. */
  dtype?: 'bf16' | 'f16';
  /** Default `cpu`. */
  device?: Device;
  /** CPU: forces an instruction set: scalar, avx2, avx512 or avx512_bf16. Default: the best one. */
  isa?: string;
  /** CPU: default all of the compute team. */
  threads?: number;
  signal?: AbortSignal;
}

export interface AttentionResult<T> {
  /** As q: [B, Nq, H·D]. */
  readonly out: T;
  /** Time of the kernels alone, without copies. */
  readonly milliseconds: number;
}

const int = (low: number, high: number) => z.int().min(low).max(high);
const data = z.custom<Float32Array | Uint16Array>(
  (value) => isTypedArray(value, 'Float32Array') || isTypedArray(value, 'Uint16Array'),
  { error: 'Expected Float32Array or Uint16Array (bf16 or f16)' },
);
const schema = z.strictObject({
  heads: int(1, 4096),
  headDim: int(1, 256),
  batch: int(1, 65536).optional(),
  scale: z.number().optional(),
  grid: z.strictObject({ h: int(1, 65536), w: int(1, 65536) }).optional(),
  window: int(0, 1024).optional(),
  padK: data.optional(),
  padV: data.optional(),
  relPosH: float32Array.optional(),
  relPosW: float32Array.optional(),
  distance: z
    .strictObject({
      metric: z.enum(METRICS).exclude(['none']),
      slopes: float32Array,
      start: z.number().min(0).optional(),
    })
    .optional(),
  dtype: z.enum(['bf16', 'f16']).optional(),
  device: z.string().optional(),
  isa: z.string().optional(),
  threads: int(1, 1024).optional(),
  signal: abortSignal.optional(),
});

/**
 * softmax(scale · q kᵀ + relative positions − distance penalty) · v, fused: no N × N buffer exists.
 *
 * q [B, Nq, H·D], k and v [B, Nk, H·D], row-major: Float32Array for f32, Uint16Array for the bits of bf16 or f16. Inputs
 * are copied; the work runs off the event loop.
 *
 * @throws SamError ERR_INVALID_ARGUMENT, ERR_DEVICE_UNAVAILABLE, ERR_OUT_OF_MEMORY; the signal's reason
 */
export async function attention<T extends Float32Array | Uint16Array>(
  q: T,
  k: T,
  v: T,
  options: AttentionOptions,
): Promise<AttentionResult<T>> {
  const o = parse(schema as unknown as z.ZodType<AttentionOptions>, options, 'options');
  for (const [name, value] of Object.entries({ q, k, v })) parse(data, value, name);
  const batch = o.batch ?? 1;
  const row = batch * o.heads * o.headDim;
  const out = (isTypedArray(q, 'Float32Array') ? new Float32Array(q.length) : new Uint16Array(q.length)) as T;
  const device = resolveDevice(o.device ?? 'cpu');
  for (const name of ['isa', 'threads'] as const) {
    if (device.kind !== 'cpu' && o[name] !== undefined)
      throw invalidArgument(name, 'nothing on CUDA', o[name]);
  }
  const dtype = isTypedArray(q, 'Float32Array') ? 'f32' : (o.dtype ?? 'bf16');
  if (o.dtype !== undefined && o.dtype !== dtype) {
    throw invalidArgument('dtype', 'nothing together with Float32Array', o.dtype);
  }
  const addon = device.kind === 'cpu' ? native() : cudaAddon();
  const milliseconds = await trackNative(addon, { signal: o.signal }, (token) =>
    addon.attention(
      q as TensorData,
      k as TensorData,
      v as TensorData,
      out as TensorData,
      {
        dtype,
        batch,
        heads: o.heads,
        headDim: o.headDim,
        qTokens: q.length / row,
        kTokens: k.length / row,
        scale: o.scale ?? 1 / Math.sqrt(o.headDim),
        gridH: o.grid?.h ?? 0,
        gridW: o.grid?.w ?? 0,
        window: o.window ?? 0,
        metric: METRICS.indexOf(o.distance?.metric ?? 'none'),
        start: o.distance?.start ?? 0,
        slopes: o.distance?.slopes,
        relH: o.relPosH,
        relW: o.relPosW,
        padK: o.padK,
        padV: o.padV,
        device: device.kind === 'cpu' ? undefined : device.index,
        isa: o.isa,
        threads: o.threads,
      },
      token,
    ),
  );
  return { out, milliseconds };
}
