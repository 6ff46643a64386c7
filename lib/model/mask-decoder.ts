// SAM's mask decoder as a graph: two-way transformer, upscaling, hypernetworks, IoU head. Always f32: it is 0.4 % of an
// encode, and its logits decide about single pixels.
// Source: segment_anything/modeling/{mask_decoder,transformer}.py; mask_decoder() of the reference.
import type { SamDecoderConfig } from '../config';
import { Graph, type Value } from '../graph/graph';
import {
  type Activation,
  add,
  attention,
  concat,
  convTranspose2d,
  layerNorm,
  linear,
  matmul,
  reshape,
  slice,
  transpose,
} from '../graph/ops';
import { denseMaskPrompts, denseNoMask, densePositions, sparsePrompts } from './prompt-encoder';
import { WeightScope } from './weights';

const TRANSFORMER_EPS = 1e-5;
const UPSCALING_EPS = 1e-6;

export interface MaskDecoderOptions {
  /** Token grid of the embedding. */
  grid: { h: number; w: number };
  /** Size of the encoder's input in px, padding included: coordinates are normalised by it. */
  input: { width: number; height: number };
  /** P, prompts per run. */
  prompts: number;
  /** n, tokens per prompt (points, box corners and the pad point); may be 0. */
  tokens: number;
  /** Whether every prompt brings a mask. */
  maskPrompt: boolean;
  /** Masks 1 … M−1 instead of mask 0. */
  multimask: boolean;
}

/**
 * Inputs: image_embeddings [1, C, Gh, Gw], coords [P, n, 2] px, labels [P, n] i32, then mask_input [P, 4Gh, 4Gw, 1] with
 * `maskPrompt`. Outputs: low_res_logits [P, M, 4Gh, 4Gw], iou_predictions [P, M]; M = 1, or maskTokens − 1 with
 * `multimask`.
 */
export function maskDecoder(config: SamDecoderConfig, options: MaskDecoderOptions): Graph {
  const { grid, prompts, tokens, maskPrompt, multimask } = options;
  const { dim, maskTokens } = config;
  const graph = new Graph();
  const embeddings = graph.input('image_embeddings', [1, dim, grid.h, grid.w]);
  const coords = graph.input('coords', [prompts, tokens, 2]);
  const labels = graph.input('labels', [prompts, tokens], 'i32');
  const promptWeights = new WeightScope(graph, 'prompt_encoder.', 'f32');
  const weights = new WeightScope(graph, 'mask_decoder.', 'f32');

  const sparse = sparsePrompts(coords, labels, promptWeights, dim, options.input);
  const dense = maskPrompt
    ? denseMaskPrompts(graph.input('mask_input', [prompts, 4 * grid.h, 4 * grid.w, 1]), promptWeights, config)
    : denseNoMask(promptWeights, dim);

  const asTokens = (name: string, count: number) =>
    reshape(weights.get(`${name}.weight`, [count, dim]), [1, count, dim]);
  const queries = concat([asTokens('iou_token', 1), asTokens('mask_tokens', maskTokens), sparse]);
  const keys = add(transpose(embeddings, 'channelsLast'), dense);
  const keyPositions = densePositions(promptWeights, dim, grid);
  const out = twoWayTransformer(queries, keys, keyPositions, weights.sub('transformer'), config);

  const first = multimask ? 1 : 0;
  const count = multimask ? maskTokens - 1 : 1;
  graph.output(masks(out.queries, out.keys, first, count, weights, options, dim));
  const iou = mlp3(slice(out.queries, 0, 1), weights.sub('iou_prediction_head'), [
    dim,
    config.iouDim,
    maskTokens,
  ]);
  const chosen = slice(reshape(iou, [prompts, maskTokens, 1]), first, count);
  graph.output(reshape(chosen, [prompts, count]));
  return graph;
}

function masks(
  queries: Value,
  keys: Value,
  first: number,
  count: number,
  weights: WeightScope,
  { grid, prompts }: MaskDecoderOptions,
  dim: number,
): Value {
  const up = weights.sub('output_upscaling');
  const transposed = (x: Value, name: string, input: number, out: number, activation?: Activation) =>
    convTranspose2d(x, up.get(`${name}.weight`, [input, out, 2, 2]), {
      bias: up.get(`${name}.bias`, [out]),
      activation,
    });
  let x = transposed(keys, '0', dim, dim / 4);
  x = layerNorm(x, ...up.norm('1', dim / 4), { eps: UPSCALING_EPS, activation: 'gelu' });
  x = transposed(x, '3', dim / 4, dim / 8, 'gelu');

  const hyper = Array.from({ length: count }, (_, i) =>
    mlp3(slice(queries, 1 + first + i, 1), weights.sub(`output_hypernetworks_mlps.${first + i}`), [
      dim,
      dim,
      dim / 8,
    ]),
  );
  const pixels = reshape(x, [prompts, 16 * grid.h * grid.w, dim / 8]);
  return reshape(matmul(joined(hyper), pixels), [prompts, count, 4 * grid.h, 4 * grid.w]);
}

// `concat` takes 8 inputs; models with more mask tokens need several.
function joined(values: readonly Value[]): Value {
  if (values.length === 1) return values[0];
  if (values.length <= 8) return concat(values);
  return concat([joined(values.slice(0, -7)), ...values.slice(-7)]);
}

/** Three linear layers with ReLU between: input → hidden → hidden → out. */
function mlp3(
  x: Value,
  weights: WeightScope,
  [input, hidden, out]: readonly [number, number, number],
): Value {
  const layer = (y: Value, i: number, from: number, to: number, activation?: Activation) => {
    const { weight, bias } = weights.linear(`layers.${i}`, to, from);
    return linear(y, weight, { bias, activation });
  };
  return layer(layer(layer(x, 0, input, hidden, 'relu'), 1, hidden, hidden, 'relu'), 2, hidden, out);
}

/**
 * queries [P, T, C], keys [1 or P, Gh, Gw, C] → the same after attention in both directions. Keys without a mask prompt
 * are shared by all prompts (batch 1) until the first layer updates them, which saves P − 1 projections.
 */
function twoWayTransformer(
  tokens: Value,
  image: Value,
  keyPositions: Value,
  weights: WeightScope,
  config: SamDecoderConfig,
): { queries: Value; keys: Value } {
  const { dim, depth, mlpDim } = config;
  const norm = (x: Value, w: WeightScope, name: string) =>
    layerNorm(x, ...w.norm(name, dim), { eps: TRANSFORMER_EPS });
  let queries = tokens;
  let keys = image;
  for (let i = 0; i < depth; i++) {
    const w = weights.sub(`layers.${i}`);
    if (i === 0) {
      // The first layer's self attention has neither positions nor a residual.
      queries = attend(queries, queries, queries, w.sub('self_attn'), config, dim);
    } else {
      const placed = add(queries, tokens);
      queries = add(queries, attend(placed, placed, queries, w.sub('self_attn'), config, dim));
    }
    queries = norm(queries, w, 'norm1');

    const toImage = attend(
      add(queries, tokens),
      add(keys, keyPositions),
      keys,
      w.sub('cross_attn_token_to_image'),
      config,
    );
    queries = norm(add(queries, toImage), w, 'norm2');

    const lin1 = w.linear('mlp.lin1', mlpDim, dim);
    const lin2 = w.linear('mlp.lin2', dim, mlpDim);
    const hidden = linear(queries, lin1.weight, { bias: lin1.bias, activation: 'relu' });
    queries = norm(linear(hidden, lin2.weight, { bias: lin2.bias, residual: queries }), w, 'norm3');

    const toTokens = attend(
      add(keys, keyPositions),
      add(queries, tokens),
      queries,
      w.sub('cross_attn_image_to_token'),
      config,
    );
    keys = norm(add(keys, toTokens), w, 'norm4');
  }
  const final = weights.sub('final_attn_token_to_image');
  const attended = attend(add(queries, tokens), add(keys, keyPositions), keys, final, config);
  return { queries: norm(add(queries, attended), weights, 'norm_final_attn'), keys };
}

/** Multi-head attention with its four projections; cross attention works in half the channels. */
function attend(
  q: Value,
  k: Value,
  v: Value,
  weights: WeightScope,
  { dim, heads }: SamDecoderConfig,
  inner = dim / 2,
): Value {
  const project = (x: Value, name: string) => {
    const { weight, bias } = weights.linear(`${name}_proj`, inner, dim);
    return linear(x, weight, { bias });
  };
  const scale = 1 / Math.sqrt(inner / heads);
  const mixed = attention(project(q, 'q'), project(k, 'k'), project(v, 'v'), { heads, scale });
  const { weight, bias } = weights.linear('out_proj', dim, inner);
  return linear(mixed, weight, { bias });
}
