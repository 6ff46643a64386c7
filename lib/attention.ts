// The fused attention kernel by itself: for microbenchmarks, and for people who want only that.
import type { z } from 'zod';
import type { TensorData } from './addon';
import { resolveDevice } from './device';
import { invalidArgument } from './errors';
import { Graph } from './graph/graph';
import { Session } from './graph/session';
import { headSlopes } from './model/ba-sam';
import { attention as attentionOp } from './ops';
import { type AttentionOptions, attentionSchema } from './options/attention';
import { isTypedArray, parse, tensorData } from './options/validate';

type Checked = z.output<typeof attentionSchema>;

export interface AttentionResult<T> {
  /** As q: [B, Nq, H·D]. */
  readonly out: T;
  /** Time of the kernels alone, without copies. */
  readonly milliseconds: number;
}

/**
 * softmax(scale · q kᵀ + relative positions − distance penalty) · v, fused: no N × N buffer exists.
 *
 * q [B, Nq, H·D], k and v [B, Nk, H·D], row-major: Float32Array for f32, Uint16Array for the bits of bf16 or f16. Inputs
 * are copied; the work runs off the event loop.
 *
 * @throws SamError ERR_INVALID_ARGUMENT, ERR_GRAPH for what does not go together (a penalty in windows, one table of two),
 *   ERR_DEVICE_UNAVAILABLE, ERR_OUT_OF_MEMORY; the signal's reason
 */
export async function attention<T extends Float32Array | Uint16Array>(
  q: T,
  k: T,
  v: T,
  options: AttentionOptions,
): Promise<AttentionResult<T>> {
  const o = parse(attentionSchema, options, 'options');
  for (const [name, value] of Object.entries({ q, k, v })) parse(tensorData, value, name);
  const device = resolveDevice(o.device);
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
  o: Checked,
): { graph: Graph; inputs: TensorData[] } {
  const { batch, heads, headDim, grid, window, distance } = o;
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
  const options = { heads, scale: o.scale ?? 1 / Math.sqrt(headDim), window, relPosH, relPosW, pad };
  graph.output(attentionOp(q, k, v, { ...options, ...(distance && penaltyOf(distance, heads)) }));
  return { graph, inputs };
}

function penaltyOf({ metric, slopes, start }: NonNullable<Checked['distance']>, heads: number) {
  return { metric, start, slopes: headSlopes(slopes, heads) };
}

/** [3·H·D]: the query of a pad token, which nobody asks for, its key and its value. */
function padOf({ padK, padV }: Checked, like: TensorData, channels: number): TensorData {
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
