// The op vocabulary: each function appends one node, with the output's shape worked out from the inputs. Everything is
// channels-last: tokens are [B, N, C] or, on a grid, [B, Gh, Gw, C].
//
// An op has four homes with one name: here, native/core/ops, docs/ops.md, and the kernels of each backend.
// test/graph/vocabulary.test.ts enumerates them.
import { SamError } from '../errors';
import { type DType, elementCount, type Shape, type Value } from './graph';

/** Names in the order of the wire format (native/core/ops.h): append only. */
export const OP_NAMES = [
  'linear',
  'layerNorm',
  'gridAttention',
  'attention',
  'conv2d',
  'convTranspose2d',
  'patchEmbed',
  'add',
  'concat',
  'slice',
  'matmul',
  'transpose',
  'reshape',
  'cast',
  'pointEncoding',
  'gridEncoding',
  'resizePositions',
  'resizeRelPos',
  'upsampleMasks',
] as const;
export type OpName = (typeof OP_NAMES)[number];

export type Activation = 'none' | 'relu' | 'gelu';
const ACTIVATIONS: readonly Activation[] = ['none', 'relu', 'gelu'];

/** Distance metrics on the token grid; the order is part of the wire format. */
export const METRICS = ['none', 'manhattan', 'euclidean', 'chebyshev'] as const;
export type Metric = (typeof METRICS)[number];

const activationId = (activation: Activation = 'none') => ACTIVATIONS.indexOf(activation);

function append(
  op: OpName,
  inputs: readonly (Value | undefined)[],
  attributes: readonly number[],
  shape: Shape,
  dtype: DType,
): Value {
  return inputs[0]!.graph.node(OP_NAMES.indexOf(op), inputs, attributes, shape, dtype);
}

function expect(op: OpName, condition: boolean, expectation: string): void {
  if (!condition) throw new SamError('ERR_GRAPH', `${op}: expected ${expectation}`);
}

const last = (value: Value): number => value.shape[value.shape.length - 1];

export interface LinearOptions {
  /** [N], f32. */
  bias?: Value;
  /** Applied after the bias; exact (erf) GELU. Not together with a residual. */
  activation?: Activation;
  /** [..., N], added to the product, in the output's dtype. */
  residual?: Value;
  /** Of the output: f32 or that of x (default: the residual's, else that of x). */
  dtype?: DType;
  /**
   * Operands in 8 bits: each row of x and of the weight is rounded to e4m3 times a power of two of its own (docs/ops.md).
   * N and K are multiples of 16. Default false.
   */
  f8?: boolean;
}

/** x [..., K] · weight [N, K]ᵀ + bias → activation → + residual: [..., N]. */
export function linear(x: Value, weight: Value, options: LinearOptions = {}): Value {
  const { bias, activation, residual, f8 } = options;
  expect('linear', weight.shape.length === 2 && weight.shape[1] === last(x), `weight [N, ${last(x)}]`);
  const dtype = options.dtype ?? residual?.dtype ?? x.dtype;
  const shape = [...x.shape.slice(0, -1), weight.shape[0]];
  const attributes = [activationId(activation), ...(f8 ? [1] : [])];
  return append('linear', [x, weight, bias, residual], attributes, shape, dtype);
}

/** (x − mean) / √(var + eps) · weight + bias over the last axis, then the activation: as x, of any float dtype. */
export function layerNorm(
  x: Value,
  weight: Value,
  bias: Value,
  options: { eps: number; activation?: Activation; dtype?: DType },
): Value {
  const attributes = [options.eps, activationId(options.activation)];
  return append('layerNorm', [x, weight, bias], attributes, x.shape, options.dtype ?? x.dtype);
}

export interface GridAttentionOptions {
  heads: number;
  /** Multiplies q·k only, never a bias. */
  scale: number;
  /** Window side in tokens; 0 (default) = global. */
  window?: number;
  /** [2·Gh − 1, D] and [2·Gw − 1, D]; [2·window − 1, D] both in windows. f32. */
  relPosH?: Value;
  relPosW?: Value;
  /** [3·H·D], f32: bias of the projection that made qkv. Pad tokens of border windows are real keys made of it. */
  qkvBias?: Value;
  /** Distance penalty; global attention only. */
  metric?: Metric;
  /** One slope ≥ 0 per head. */
  slopes?: readonly number[];
  /** Distance in tokens per axis that costs nothing. */
  start?: number;
}

/**
 * SAM's encoder attention with BA-SAM's scale and distance penalty: qkv [B, Gh, Gw, 3·H·D] → [B, Gh, Gw, H·D].
 * Source: SPEC of the attention logits in docs/ops.md; Kirillov et al. 2023; Song et al. 2024, section 3.
 */
export function gridAttention(qkv: Value, options: GridAttentionOptions): Value {
  const {
    heads,
    scale,
    window = 0,
    relPosH,
    relPosW,
    qkvBias,
    metric = 'none',
    slopes = [],
    start = 0,
  } = options;
  expect('gridAttention', qkv.shape.length === 4 && last(qkv) % (3 * heads) === 0, 'qkv [B, Gh, Gw, 3·H·D]');
  expect('gridAttention', metric === 'none' || slopes.length === heads, `${heads} slopes`);
  const attributes = [
    heads,
    window,
    scale,
    METRICS.indexOf(metric),
    start,
    ...(metric === 'none' ? [] : slopes),
  ];
  const shape = [...qkv.shape.slice(0, 3), last(qkv) / 3];
  return append('gridAttention', [qkv, relPosH, relPosW, qkvBias], attributes, shape, qkv.dtype);
}

/**
 * Plain attention, no biases: q [B, …, H·D], k and v [B, …, H·D] → as q. A batch of 1 on one side serves every item
 * of the other.
 */
export function attention(q: Value, k: Value, v: Value, options: { heads: number; scale: number }): Value {
  const shape = [Math.max(q.shape[0], k.shape[0]), ...q.shape.slice(1)];
  return append('attention', [q, k, v], [options.heads, options.scale], shape, q.dtype);
}

/** x [B, H, W, I], weight [O, I, kh, kw] → [B, H', W', O], zero padding. */
export function conv2d(
  x: Value,
  weight: Value,
  options: { bias?: Value; stride?: number; padding?: number; activation?: Activation; dtype?: DType } = {},
): Value {
  const { bias, stride = 1, padding = 0, activation } = options;
  const side = (length: number, kernel: number) => Math.floor((length + 2 * padding - kernel) / stride) + 1;
  const shape = [
    x.shape[0],
    side(x.shape[1], weight.shape[2]),
    side(x.shape[2], weight.shape[3]),
    weight.shape[0],
  ];
  const attributes = [stride, padding, activationId(activation)];
  return append('conv2d', [x, weight, bias], attributes, shape, options.dtype ?? x.dtype);
}

/** x [B, H, W, I], weight [I, O, k, k], stride k → [B, k·H, k·W, O]. */
export function convTranspose2d(
  x: Value,
  weight: Value,
  options: { bias?: Value; activation?: Activation } = {},
): Value {
  const k = weight.shape[2];
  const shape = [x.shape[0], x.shape[1] * k, x.shape[2] * k, weight.shape[1]];
  return append(
    'convTranspose2d',
    [x, weight, options.bias],
    [activationId(options.activation)],
    shape,
    x.dtype,
  );
}

/** Photographs as they are decoded: what makes u8 pixels the numbers that a model was trained on. */
export interface PatchEmbedPhotograph {
  /** [B, 2] i32: height and width of each picture in its canvas; what lies outside becomes 0. */
  content: Value;
  /** Per channel, of values 0 … 255. */
  mean: readonly [number, number, number];
  std: readonly [number, number, number];
}

/**
 * pixels [B, I, H, W] f32, or [B, H, W, 3] u8 with `photograph`: (x − mean) / std inside the content and 0 outside;
 * weight [C, I, P, P] (+ positions [1, Gh, Gw, C]) → tokens [B, Gh, Gw, C] f32.
 */
export function patchEmbed(
  pixels: Value,
  weight: Value,
  options: { bias?: Value; positions?: Value; photograph?: PatchEmbedPhotograph } = {},
): Value {
  const { bias, positions, photograph } = options;
  const isPhotograph = pixels.dtype === 'u8';
  expect('patchEmbed', isPhotograph === (photograph !== undefined), 'photograph exactly with u8 pixels');
  const patch = weight.shape[2];
  const [height, width] = isPhotograph ? pixels.shape.slice(1, 3) : pixels.shape.slice(2, 4);
  const shape = [pixels.shape[0], height / patch, width / patch, weight.shape[0]];
  if (!photograph) return append('patchEmbed', [pixels, weight, bias, positions], [], shape, 'f32');
  const { content, mean, std } = photograph;
  return append('patchEmbed', [pixels, weight, bias, positions, content], [...mean, ...std], shape, 'f32');
}

/** a + b with numpy broadcasting; equal ranks and dtypes. */
export function add(a: Value, b: Value): Value {
  const shape = a.shape.map((dim, i) => (dim === 1 ? b.shape[i] : dim));
  return append('add', [a, b], [], shape, a.dtype);
}

/** [B or 1, N_i, C] … → [B, ΣN_i, C], at most 8. */
export function concat(values: readonly Value[]): Value {
  expect('concat', values.length >= 1 && values.length <= 8, '1 to 8 inputs');
  const batch = values.find((value) => value.shape[0] !== 1)?.shape[0] ?? 1;
  const tokens = values.reduce((sum, value) => sum + value.shape[1], 0);
  return append('concat', values, [], [batch, tokens, values[0].shape[2]], values[0].dtype);
}

/** x [B, N, C] → tokens start … start + count. */
export function slice(x: Value, start: number, count: number): Value {
  return append('slice', [x], [start, count], [x.shape[0], count, x.shape[2]], x.dtype);
}

/** a [B, M, K] · b [B, N, K]ᵀ → [B, M, N]. */
export function matmul(a: Value, b: Value): Value {
  return append('matmul', [a, b], [], [a.shape[0], a.shape[1], b.shape[1]], a.dtype);
}

/** [B, …, C] → [B, C, …] (`to: 'channelsFirst'`) or back. */
export function transpose(x: Value, to: 'channelsFirst' | 'channelsLast'): Value {
  const [batch, ...rest] = x.shape;
  const shape =
    to === 'channelsFirst' ? [batch, last(x), ...rest.slice(0, -1)] : [batch, ...rest.slice(1), rest[0]];
  return append('transpose', [x], [to === 'channelsFirst' ? 1 : 0], shape, x.dtype);
}

/** The same elements under another shape: free. */
export function reshape(x: Value, shape: Shape): Value {
  expect('reshape', elementCount(shape) === elementCount(x.shape), `${elementCount(x.shape)} elements`);
  return append('reshape', [x], [], shape, x.dtype);
}

/** Between f32, bf16 and f16, rounding to nearest even; x itself when it has the dtype already. */
export function cast(x: Value, dtype: DType): Value {
  return x.dtype === dtype ? x : append('cast', [x], [], x.shape, dtype);
}

/**
 * Prompt tokens: coords [P, n, 2] in px of the encoder's input, labels [P, n] i32 (−1 not a point, 0 background,
 * 1 foreground, 2 and 3 box corners), gaussian [2, F], embeddings [1, 2F] each → [P, n, 2F].
 */
export function pointEncoding(
  coords: Value,
  labels: Value,
  weights: { gaussian: Value; notAPoint: Value; points: readonly [Value, Value, Value, Value] },
  input: { width: number; height: number },
): Value {
  const shape = [coords.shape[0], coords.shape[1], 2 * weights.gaussian.shape[1]];
  const inputs = [coords, labels, weights.gaussian, weights.notAPoint, ...weights.points];
  return append('pointEncoding', inputs, [input.width, input.height], shape, 'f32');
}

/** gaussian [2, F] → the encoding of every cell's centre: [1, Gh, Gw, 2F]. */
export function gridEncoding(gaussian: Value, grid: { h: number; w: number }): Value {
  return append('gridEncoding', [gaussian], [], [1, grid.h, grid.w, 2 * gaussian.shape[1]], 'f32');
}

/** Absolute positions [1, S, S, C] → [1, Gh, Gw, C], bicubic; itself at the trained grid. */
export function resizePositions(positions: Value, grid: { h: number; w: number }): Value {
  if (positions.shape[1] === grid.h && positions.shape[2] === grid.w) return positions;
  return append('resizePositions', [positions], [], [1, grid.h, grid.w, positions.shape[3]], 'f32');
}

/** Relative positions [L, D] → coefficient · [length, D], linear; itself when nothing changes. */
export function resizeRelPos(table: Value, length: number, coefficient?: Value): Value {
  if (table.shape[0] === length && !coefficient) return table;
  return append('resizeRelPos', [table, coefficient], [], [length, table.shape[1]], 'f32');
}

/**
 * Low-resolution logits [P, M, 4Gh, 4Gw] → bilinear to the encoder's input → without its padding → bilinear to the
 * photograph [P, M, H, W]: u8 masks (logit > 0) or f32 logits.
 */
export function upsampleMasks(
  lowRes: Value,
  sizes: {
    input: { width: number; height: number };
    content: { width: number; height: number };
    out: { width: number; height: number };
  },
  dtype: 'u8' | 'f32' = 'u8',
): Value {
  const { input, content, out } = sizes;
  const attributes = [input.width, input.height, content.width, content.height];
  return append(
    'upsampleMasks',
    [lowRes],
    attributes,
    [lowRes.shape[0], lowRes.shape[1], out.height, out.width],
    dtype,
  );
}
