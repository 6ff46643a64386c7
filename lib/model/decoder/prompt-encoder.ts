// SAM's prompt encoder as part of the decoder's graph: points and boxes become tokens, mask prompts a dense map.
// Source: segment_anything/modeling/prompt_encoder.py; prompt_encoder() of the reference.
import type { Value } from '../../graph/graph';
import { conv2d, gridEncoding, layerNorm, pointEncoding, reshape } from '../../ops';
import type { WeightScope } from '../weights';
import type { SamDecoderConfig } from './config';

const EPS = 1e-6;

/** Labels of prompt tokens, as SAM numbers them. */
export const LABEL = {
  notAPoint: -1,
  background: 0,
  foreground: 1,
  boxTopLeft: 2,
  boxBottomRight: 3,
} as const;

/** coords [P, n, 2] in px of the encoder's input, labels [P, n] → sparse tokens [P, n, C]. */
export function sparsePrompts(
  coords: Value,
  labels: Value,
  weights: WeightScope,
  dim: number,
  input: { width: number; height: number },
): Value {
  const embedding = (name: string) => weights.get(`${name}.weight`, [1, dim]);
  return pointEncoding(
    coords,
    labels,
    {
      gaussian: gaussian(weights, dim),
      notAPoint: embedding('not_a_point_embed'),
      points: [
        embedding('point_embeddings.0'),
        embedding('point_embeddings.1'),
        embedding('point_embeddings.2'),
        embedding('point_embeddings.3'),
      ],
    },
    input,
  );
}

/** Mask prompts: logits [P, 4Gh, 4Gw, 1] → [P, Gh, Gw, C]. */
export function denseMaskPrompts(masks: Value, weights: WeightScope, config: SamDecoderConfig): Value {
  const { dim, maskChannels } = config;
  const first = maskChannels / 4;
  const w = weights.sub('mask_downscaling');
  const conv = (x: Value, name: string, out: number, input: number, kernel: number, stride: number) =>
    conv2d(x, w.get(`${name}.weight`, [out, input, kernel, kernel]), {
      bias: w.get(`${name}.bias`, [out]),
      stride,
    });
  let x = conv(masks, '0', first, 1, 2, 2);
  x = layerNorm(x, ...w.norm('1', first), { eps: EPS, activation: 'gelu' });
  x = conv(x, '3', maskChannels, first, 2, 2);
  x = layerNorm(x, ...w.norm('4', maskChannels), { eps: EPS, activation: 'gelu' });
  return conv(x, '6', dim, maskChannels, 1, 1);
}

/** The dense map of a prompt without a mask: one vector for every cell, [1, 1, 1, C]. */
export function denseNoMask(weights: WeightScope, dim: number): Value {
  return reshape(weights.get('no_mask_embed.weight', [1, dim]), [1, 1, 1, dim]);
}

/** Position encoding of the embedding's grid: [1, Gh, Gw, C]. */
export function densePositions(weights: WeightScope, dim: number, grid: { h: number; w: number }): Value {
  return gridEncoding(gaussian(weights, dim), grid);
}

function gaussian(weights: WeightScope, dim: number): Value {
  return weights.get('pe_layer.positional_encoding_gaussian_matrix', [2, dim / 2]);
}
