// The fused attention kernel by itself: for microbenchmarks, and for people who want only that.
import { z } from 'zod';
import type { TensorData } from './addon';
import { type Device, resolveDevice } from './device';
import { invalidArgument } from './errors';
import { Graph } from './graph/graph';
import { Session } from './graph/session';
import { attention as attentionOp, METRICS, type Metric } from './ops';
import { abortSignal, float32Array, isTypedArray, parse } from './validate';

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
  const device = resolveDevice(o.device ?? 'cpu');
  const dtype = isTypedArray(q, 'Float32Array') ? 'f32' : (o.dtype ?? 'bf16');
  if (o.dtype !== undefined && o.dtype !== dtype) {
    throw invalidArgument('dtype', 'nothing together with Float32Array', o.dtype);
  }
  const session = new Session({ device, threads: o.threads, isa: o.isa });
  try {
    let milliseconds = 0;
    const { graph, inputs } = graphOf({ q, k, v }, dtype, o);
    const [out] = await session.run('attention', () => graph, inputs, {
      signal: o.signal,
      onProfile: ([row]) => {
        milliseconds = row!.milliseconds;
      },
    });
    return { out: out as T, milliseconds };
  } finally {
    await session.dispose();
  }
}

/** The call as a graph of one node, with its inputs. */
function graphOf(
  tokens: Record<'q' | 'k' | 'v', TensorData>,
  dtype: 'f32' | 'bf16' | 'f16',
  o: AttentionOptions,
): { graph: Graph; inputs: TensorData[] } {
  const { batch = 1, heads, headDim, grid, window = 0, distance } = o;
  if (!grid && (window > 0 || o.relPosH || o.relPosW || distance)) {
    throw invalidArgument('grid', 'a token grid with window, relPosH, relPosW or distance', grid);
  }
  const channels = heads * headDim;
  const graph = new Graph();
  const inputs: TensorData[] = [];
  const input = (name: string, data: TensorData, shape: number[], type: typeof dtype = dtype) => {
    inputs.push(data);
    return graph.input(name, shape, type);
  };
  const list = (name: 'q' | 'k' | 'v') => {
    const data = tokens[name];
    const count = data.length / (batch * channels);
    const fits =
      Number.isInteger(count) && (name === 'q' || count > 0) && (!grid || count === grid.h * grid.w);
    if (!fits) {
      const expected = grid
        ? `${batch} · ${grid.h} · ${grid.w} · ${channels}`
        : `${batch} · tokens · ${channels}`;
      throw invalidArgument(name, `${expected} values`, data);
    }
    return input(name, data, grid ? [batch, grid.h, grid.w, channels] : [batch, count, channels]);
  };
  const [q, k, v] = [list('q'), list('k'), list('v')];
  const table = (name: 'relPosH' | 'relPosW', side: number) =>
    o[name] && input(name, o[name], [2 * (window || side) - 1, headDim], 'f32');
  const [relPosH, relPosW] = [table('relPosH', grid?.h ?? 0), table('relPosW', grid?.w ?? 0)];
  const pad = window > 0 ? input('pad', padOf(o, tokens.q, channels), [3 * channels]) : undefined;
  const metric: Metric = distance?.metric ?? 'none';
  const options = { heads, scale: o.scale ?? 1 / Math.sqrt(headDim), window, relPosH, relPosW, pad, metric };
  const penalty = distance && { slopes: [...distance.slopes], start: distance.start ?? 0 };
  graph.output(attentionOp(q, k, v, { ...options, ...penalty }));
  return { graph, inputs };
}

/** [3·H·D]: the query of a pad token, which nobody asks for, its key and its value. */
function padOf({ padK, padV }: AttentionOptions, like: TensorData, channels: number): TensorData {
  const row = isTypedArray(like, 'Float32Array')
    ? new Float32Array(3 * channels)
    : new Uint16Array(3 * channels);
  for (const [i, [name, part]] of Object.entries({ padK, padV }).entries()) {
    const fits = part?.length === channels && isTypedArray(part, row.constructor.name);
    if (!fits)
      throw invalidArgument(name, `${row.constructor.name} of ${channels} values with a window`, part);
    row.set(part, (i + 1) * channels);
  }
  return row;
}
