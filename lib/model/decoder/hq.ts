// What SAM-HQ adds to SAM's mask decoder: a token of its own, whose mask is made from sharper features and added to SAM's.
// Source: Ke et al., Segment Anything in High Quality, NeurIPS 2023; segment_anything/modeling/mask_decoder_hq.py of SysCV/sam-hq.
import { Graph, type Value } from '../../graph/graph';
import { add, conv2d, convTranspose2d, layerNorm, transpose } from '../../ops';
import { hqConfigSchema, hqSizeSchema } from '../../options/graph';
import { parse } from '../../options/validate';
import { WeightScope } from '../weights';
import type { SamDecoderConfig } from './config';

const EPS = 1e-6;

/** A decoder with it. */
export type HqDecoderConfig = SamDecoderConfig & { readonly hq: NonNullable<SamDecoderConfig['hq']> };

export function isHq(config: SamDecoderConfig): config is HqDecoderConfig {
  return config.hq !== undefined;
}

/**
 * The features of an image that do not depend on prompts: they are part of its embedding. Inputs: image_embeddings
 * [B, C, Gh, Gw] and early_features [B, Gh, Gw, E], the tokens after the image encoder's first global block. Output: hq_features
 * [B, 4Gh, 4Gw, C/8].
 *
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function hqFeatures(
  config: HqDecoderConfig,
  size: { batch: number; grid: { h: number; w: number } },
): Graph {
  parse(hqConfigSchema, config, 'config');
  parse(hqSizeSchema, size, 'size');
  const { dim, hq } = config;
  const { batch, grid } = size;
  const graph = new Graph();
  const embeddings = graph.input('image_embeddings', [batch, dim, grid.h, grid.w]);
  const early = graph.input('early_features', [batch, grid.h, grid.w, hq.earlyChannels]);
  const weights = new WeightScope(graph, 'mask_decoder.', 'f32');
  const fromEmbedding = upscale(transpose(embeddings, 'channelsLast'), weights.sub('embedding_encoder'), [
    dim,
    dim / 4,
    dim / 8,
  ]);
  const fromEarly = upscale(early, weights.sub('compress_vit_feat'), [hq.earlyChannels, dim, dim / 8]);
  graph.output(add(fromEmbedding, fromEarly));
  return graph;
}

/**
 * What the mask of SAM-HQ's own token is made from.
 *
 * @param upscaled the decoder's upscaled features [P, 4Gh, 4Gw, C/8]
 * @param features output of {@link hqFeatures} for one image, [1, 4Gh, 4Gw, C/8]
 * @returns [P, 4Gh, 4Gw, C/8]
 */
export function hqPixels(upscaled: Value, features: Value, decoder: WeightScope, dim: number): Value {
  const weights = decoder.sub('embedding_maskfeature');
  const conv = (x: Value, name: string, input: number, out: number) =>
    conv2d(x, weights.get(`${name}.weight`, [out, input, 3, 3]), {
      bias: weights.get(`${name}.bias`, [out]),
      padding: 1,
    });
  let x = conv(upscaled, '0', dim / 8, dim / 4);
  x = layerNorm(x, ...weights.norm('1', dim / 4), { eps: EPS, activation: 'gelu' });
  return add(conv(x, '3', dim / 4, dim / 8), features);
}

/** Two transposed convolutions with a normalisation between: four times the side. */
function upscale(
  x: Value,
  weights: WeightScope,
  [input, hidden, out]: readonly [number, number, number],
): Value {
  const transposed = (y: Value, name: string, from: number, to: number) =>
    convTranspose2d(y, weights.get(`${name}.weight`, [from, to, 2, 2]), {
      bias: weights.get(`${name}.bias`, [to]),
    });
  const y = layerNorm(transposed(x, '0', input, hidden), ...weights.norm('1', hidden), {
    eps: EPS,
    activation: 'gelu',
  });
  return transposed(y, '3', hidden, out);
}
