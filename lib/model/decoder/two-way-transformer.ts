// The mask decoder's two-way transformer: prompt tokens look at the image, the image looks back at them.
// Source: segment_anything/modeling/transformer.py; two_way_transformer() of the reference.
import type { Value } from '../../graph/graph';
import { add, attention, layerNorm, linear } from '../../ops';
import type { WeightScope } from '../weights';
import type { SamDecoderConfig } from './config';

const EPS = 1e-5;

/** The image's side of one layer's two cross attentions, each [1 or P, Gh, Gw, C/2]. */
export interface ImageProjections {
  /** What tokens look at: keys of the keys with their positions, values of the keys. */
  readonly key: Value;
  readonly value: Value;
  /** The image's own queries, with positions, when it looks at the tokens. */
  readonly query: Value;
}

/**
 * @param keys image tokens [1 or P, Gh, Gw, C]
 * @param placed keys + positions
 * @param layer weights of one layer
 */
export function projectImage(
  keys: Value,
  placed: Value,
  layer: WeightScope,
  config: SamDecoderConfig,
): ImageProjections {
  const toImage = layer.sub('cross_attn_token_to_image');
  return {
    key: project(placed, toImage, 'k', config),
    value: project(keys, toImage, 'v', config),
    query: project(placed, layer.sub('cross_attn_image_to_token'), 'q', config),
  };
}

/**
 * tokens [P, T, C], keys [1 or P, Gh, Gw, C] → the same after attention in both directions. Keys without a mask prompt
 * are shared by all prompts (batch 1) until the first layer updates them, which saves P − 1 projections.
 *
 * @param image keys and the first layer's projections of them
 * @param positions of the keys, [1, Gh, Gw, C]
 */
export function twoWayTransformer(
  tokens: Value,
  image: { keys: Value; first: ImageProjections },
  positions: Value,
  weights: WeightScope,
  config: SamDecoderConfig,
): { queries: Value; keys: Value } {
  const { dim, depth, mlpDim } = config;
  const norm = (x: Value, w: WeightScope, name: string) => layerNorm(x, ...w.norm(name, dim), { eps: EPS });
  let queries = tokens;
  let { keys } = image;
  for (let i = 0; i < depth; i++) {
    const w = weights.sub(`layers.${i}`);
    const projected = i === 0 ? image.first : projectImage(keys, add(keys, positions), w, config);
    const own = w.sub('self_attn');
    if (i === 0) {
      // The first layer's self attention has neither positions nor a residual.
      queries = attend(queries, queries, queries, own, config, { inner: dim });
    } else {
      const placed = add(queries, tokens);
      queries = attend(placed, placed, queries, own, config, { inner: dim, residual: queries });
    }
    queries = norm(queries, w, 'norm1');

    const toImage = w.sub('cross_attn_token_to_image');
    const asking = project(add(queries, tokens), toImage, 'q', config);
    queries = mix(asking, projected.key, projected.value, toImage, config, { residual: queries });
    queries = norm(queries, w, 'norm2');

    const lin1 = w.linear('mlp.lin1', mlpDim, dim);
    const lin2 = w.linear('mlp.lin2', dim, mlpDim);
    const hidden = linear(queries, lin1.weight, { bias: lin1.bias, activation: 'relu' });
    queries = norm(linear(hidden, lin2.weight, { bias: lin2.bias, residual: queries }), w, 'norm3');

    const toTokens = w.sub('cross_attn_image_to_token');
    const key = project(add(queries, tokens), toTokens, 'k', config);
    const value = project(queries, toTokens, 'v', config);
    keys = norm(mix(projected.query, key, value, toTokens, config, { residual: keys }), w, 'norm4');
  }
  const final = weights.sub('final_attn_token_to_image');
  const attended = attend(add(queries, tokens), add(keys, positions), keys, final, config, {
    residual: queries,
  });
  return { queries: norm(attended, weights, 'norm_final_attn'), keys };
}

interface AttendOptions {
  /** Channels inside; cross attention works in half of them. */
  inner?: number;
  /** Added to the result. */
  residual?: Value;
}

/** Multi-head attention with its four projections. */
function attend(
  q: Value,
  k: Value,
  v: Value,
  weights: WeightScope,
  config: SamDecoderConfig,
  options: AttendOptions,
): Value {
  const { inner } = options;
  return mix(
    project(q, weights, 'q', config, inner),
    project(k, weights, 'k', config, inner),
    project(v, weights, 'v', config, inner),
    weights,
    config,
    options,
  );
}

function project(
  x: Value,
  weights: WeightScope,
  name: 'q' | 'k' | 'v',
  { dim }: SamDecoderConfig,
  inner = dim / 2,
): Value {
  const { weight, bias } = weights.linear(`${name}_proj`, inner, dim);
  return linear(x, weight, { bias });
}

/** Attention of projected queries, keys and values, and the output projection. */
function mix(
  q: Value,
  k: Value,
  v: Value,
  weights: WeightScope,
  { dim, heads }: SamDecoderConfig,
  { inner = dim / 2, residual }: AttendOptions,
): Value {
  const mixed = attention(q, k, v, { heads, scale: 1 / Math.sqrt(inner / heads) });
  const { weight, bias } = weights.linear('out_proj', dim, inner);
  // A product adds only what has its own shape: keys that all prompts share do not.
  const same = residual !== undefined && residual.shape[0] === mixed.shape[0];
  const out = linear(mixed, weight, { bias, residual: same ? residual : undefined });
  return residual !== undefined && !same ? add(residual, out) : out;
}
