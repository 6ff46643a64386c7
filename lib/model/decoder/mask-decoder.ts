// SAM's mask decoder as a graph: two-way transformer, upscaling, hypernetworks, IoU head. Always f32: it is 0.4 % of an
// encode, and its logits decide about single pixels.
// Source: segment_anything/modeling/mask_decoder.py; mask_decoder() of the reference.
import { SamError } from '../../errors';
import { Graph, type Value } from '../../graph/graph';
import {
  type Activation,
  add,
  concat,
  convTranspose2d,
  layerNorm,
  linear,
  matmul,
  reshape,
  slice,
  transpose,
} from '../../ops';
import { decoderConfigSchema, gridSchema, maskDecoderSchema } from '../../options/graph';
import { parse } from '../../options/validate';
import { WeightScope } from '../weights';
import type { SamDecoderConfig } from './config';
import { hqFeatures, hqPixels, isHq } from './hq';
import { denseMaskPrompts, denseNoMask, densePositions, sparsePrompts } from './prompt-encoder';
import { type ImageProjections, projectImage, twoWayTransformer } from './two-way-transformer';

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
  /** Takes the outputs of `imageTokens` instead of an embedding; not with `maskPrompt`. Default false. */
  imageTokens?: boolean;
}

/**
 * What the decoder computes from the embedding alone, so that many prompts on one image need it once: a fifth of a
 * prompt's time. Input: image_embeddings [1, C, Gh, Gw]. Outputs: keys [1, Gh, Gw, C] and the first layer's projections
 * of them, key, value and query [1, Gh, Gw, C/2].
 *
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function imageTokens(config: SamDecoderConfig, grid: { h: number; w: number }): Graph {
  parse(decoderConfigSchema, config, 'config');
  parse(gridSchema, grid, 'grid');
  const graph = new Graph();
  const { keys, first } = tokensOfEmbedding(graph, config, grid);
  for (const value of [keys, first.key, first.value, first.query]) graph.output(value);
  return graph;
}

/**
 * Inputs: image_embeddings [1, C, Gh, Gw], with `maskPrompt` mask_input [P, 4Gh, 4Gw, 1] (or, with `imageTokens`, that
 * graph's outputs); then coords [P, n, 2] px and labels [P, n] i32, of SAM-HQ hq_features [1, 4Gh, 4Gw, C/8]. Outputs:
 * low_res_logits [P, M, 4Gh, 4Gw], iou_predictions [P, M]; M = 1, or maskTokens − 1 with `multimask`. SAM-HQ's mask is added to
 * each of them.
 *
 * @throws SamError ERR_INVALID_ARGUMENT; ERR_GRAPH for `imageTokens` with `maskPrompt`
 */
export function maskDecoder(config: SamDecoderConfig, options: MaskDecoderOptions): Graph {
  parse(decoderConfigSchema, config, 'config');
  parse(maskDecoderSchema, options, 'options');
  const { grid, prompts, tokens, maskPrompt, multimask } = options;
  const { dim, maskTokens } = config;
  if (maskPrompt && options.imageTokens) {
    throw new SamError('ERR_GRAPH', 'Expected no imageTokens with maskPrompt: masks change the keys');
  }
  const graph = new Graph();
  const image = options.imageTokens
    ? declareTokens(graph, config, grid)
    : tokensOfEmbedding(graph, config, grid, maskPrompt ? prompts : undefined);
  const coords = graph.input('coords', [prompts, tokens, 2]);
  const labels = graph.input('labels', [prompts, tokens], 'i32');
  const features = isHq(config)
    ? graph.input('hq_features', [1, 4 * grid.h, 4 * grid.w, dim / 8])
    : undefined;
  const promptWeights = new WeightScope(graph, 'prompt_encoder.', 'f32');
  const weights = new WeightScope(graph, 'mask_decoder.', 'f32');

  const sparse = sparsePrompts(coords, labels, promptWeights, dim, options.input);
  const asTokens = (name: string, count: number) =>
    reshape(weights.get(`${name}.weight`, [count, dim]), [1, count, dim]);
  const own = [asTokens('iou_token', 1), asTokens('mask_tokens', maskTokens)];
  if (features) own.push(asTokens('hf_token', 1));
  const queries = concat([...own, sparse]);
  const positions = densePositions(promptWeights, dim, grid);
  const out = twoWayTransformer(queries, image, positions, weights.sub('transformer'), config);

  const first = multimask ? 1 : 0;
  const count = multimask ? maskTokens - 1 : 1;
  const pixels = upscaled(out.keys, weights.sub('output_upscaling'), dim);
  const hyper = Array.from({ length: count }, (_, i) =>
    hypernetwork(out.queries, 1 + first + i, weights.sub(`output_hypernetworks_mlps.${first + i}`), dim),
  );
  let logits = matmul(joined(hyper), flat(pixels));
  if (features) {
    const own = hypernetwork(out.queries, 1 + maskTokens, weights.sub('hf_mlp'), dim);
    logits = add(logits, matmul(own, flat(hqPixels(pixels, features, weights, dim))));
  }
  graph.output(reshape(logits, [prompts, count, 4 * grid.h, 4 * grid.w]));
  const iou = mlp3(slice(out.queries, 0, 1), weights.sub('iou_prediction_head'), [
    dim,
    config.iouDim,
    maskTokens,
  ]);
  const chosen = slice(reshape(iou, [prompts, maskTokens, 1]), first, count);
  graph.output(reshape(chosen, [prompts, count]));
  return graph;
}

/** Every weight of prompt encoder and mask decoder: a graph with everything that another leaves out, and the other. */
export function decoderWeights(config: SamDecoderConfig): Value[] {
  const size = { grid: { h: 1, w: 1 }, input: { width: 1, height: 1 }, prompts: 1, tokens: 1 };
  const graphs = [false, true].map((all) =>
    maskDecoder(config, { ...size, maskPrompt: all, multimask: all }),
  );
  if (isHq(config)) graphs.push(hqFeatures(config, { batch: 1, grid: size.grid }));
  return [...new Map(graphs.flatMap(({ weights }) => weights.map((value) => [value.name, value]))).values()];
}

interface ImageTokens {
  /** [1, Gh, Gw, C]; [P, Gh, Gw, C] with mask prompts. */
  readonly keys: Value;
  readonly first: ImageProjections;
}

/** @param masks number of mask prompts; undefined = none */
function tokensOfEmbedding(
  graph: Graph,
  config: SamDecoderConfig,
  grid: { h: number; w: number },
  masks?: number,
): ImageTokens {
  const { dim } = config;
  const embeddings = graph.input('image_embeddings', [1, dim, grid.h, grid.w]);
  const promptWeights = new WeightScope(graph, 'prompt_encoder.', 'f32');
  const dense =
    masks === undefined
      ? denseNoMask(promptWeights, dim)
      : denseMaskPrompts(
          graph.input('mask_input', [masks, 4 * grid.h, 4 * grid.w, 1]),
          promptWeights,
          config,
        );
  const keys = add(transpose(embeddings, 'channelsLast'), dense);
  const placed = add(keys, densePositions(promptWeights, dim, grid));
  const weights = new WeightScope(graph, 'mask_decoder.transformer.layers.0.', 'f32');
  return { keys, first: projectImage(keys, placed, weights, config) };
}

/** The same as inputs. */
function declareTokens(graph: Graph, { dim }: SamDecoderConfig, grid: { h: number; w: number }): ImageTokens {
  const declare = (name: string, channels: number) => graph.input(name, [1, grid.h, grid.w, channels]);
  return {
    keys: declare('keys', dim),
    first: {
      key: declare('image_key', dim / 2),
      value: declare('image_value', dim / 2),
      query: declare('image_query', dim / 2),
    },
  };
}

/** [P, Gh, Gw, C] → [P, 4Gh, 4Gw, C/8] */
function upscaled(keys: Value, up: WeightScope, dim: number): Value {
  const transposed = (x: Value, name: string, input: number, out: number, activation?: Activation) =>
    convTranspose2d(x, up.get(`${name}.weight`, [input, out, 2, 2]), {
      bias: up.get(`${name}.bias`, [out]),
      activation,
    });
  let x = transposed(keys, '0', dim, dim / 4);
  x = layerNorm(x, ...up.norm('1', dim / 4), { eps: UPSCALING_EPS, activation: 'gelu' });
  return transposed(x, '3', dim / 4, dim / 8, 'gelu');
}

/** What a mask's pixels are multiplied by, [P, 1, C/8]. @param token index of the mask's token */
function hypernetwork(queries: Value, token: number, weights: WeightScope, dim: number): Value {
  return mlp3(slice(queries, token, 1), weights, [dim, dim, dim / 8]);
}

/** [P, H, W, C] → [P, H · W, C] */
function flat(x: Value): Value {
  const [prompts, height, width, channels] = x.shape;
  return reshape(x, [prompts!, height! * width!, channels!]);
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
