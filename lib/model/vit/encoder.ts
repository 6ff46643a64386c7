// SAM's image encoder (ViT with windowed and global attention) with BA-SAM's attention, as a graph.
// Source: Kirillov et al., ICCV 2023; segment_anything/modeling/image_encoder.py; image_encoder() of the reference.
import { Graph, type Value } from '../../graph/graph';
import {
  cast,
  conv2d,
  gridAttention,
  layerNorm,
  linear,
  patchEmbed,
  reshape,
  resizePositions,
  resizeRelPos,
  transpose,
} from '../../ops';
import { lengthFactor } from '../ba-sam';
import type { ImageEncoderOptions } from '../encoder';
import { WeightScope } from '../weights';
import { attentionTraits, type ViTConfig } from './config';

const EPS = 1e-6;

/** Per-channel mean and standard deviation of SAM's training images, RGB, 0 … 255. */
const PIXEL_MEAN = [123.675, 116.28, 103.53] as const;
const PIXEL_STD = [58.395, 57.12, 57.375] as const;

interface EncoderContext extends ImageEncoderOptions {
  config: ViTConfig;
  scale: { global: number; window: number };
}

/**
 * Pixels → image_embeddings [B, out, Gh, Gw] f32, then one output per tap: the tokens after the patch embedding (`embed`)
 * or after a block (`block0`, …), [B, Gh, Gw, C].
 *
 * @throws SamError ERR_INVALID_ARGUMENT when a setting has no meaning at this size
 */
export function vitGraph(config: ViTConfig, options: ImageEncoderOptions): Graph {
  const { grid, settings, dtype, taps = [] } = options;
  const input = { width: grid.w * config.patch, height: grid.h * config.patch };
  const plain = 1 / Math.sqrt(config.headDim);
  const factor = lengthFactor(settings, attentionTraits(config), grid, input);
  const context: EncoderContext = { ...options, config, scale: { global: factor * plain, window: plain } };

  const graph = new Graph();
  const weights = new WeightScope(graph, 'image_encoder.', dtype);

  const tapped = new Map<string, Value>();
  let x = embedPatches(weights, context);
  tapped.set('embed', x);
  for (let i = 0; i < config.depth; i++) {
    x = block(x, weights.sub(`blocks.${i}`), i, context);
    tapped.set(`block${i}`, x);
  }
  graph.output(transpose(neck(x, weights.sub('neck'), context), 'channelsFirst'));
  for (const tap of taps) graph.output(tapped.get(tap)!);
  return graph;
}

function embedPatches(weights: WeightScope, context: EncoderContext): Value {
  const { graph } = weights;
  const { batch, config, grid, pixels = 'normalised' } = context;
  const { patch, width, trainedGrid } = config;
  const projection = weights.sub('patch_embed');
  const weight = projection.get('proj.weight', [width, 3, patch, patch]);
  const bias = projection.get('proj.bias', [width]);
  const positions = config.hasPosEmbed
    ? resizePositions(weights.get('pos_embed', [1, trainedGrid, trainedGrid, width]), grid)
    : undefined;
  const [h, w] = [grid.h * patch, grid.w * patch];
  if (pixels === 'normalised') {
    return patchEmbed(graph.input('pixel_values', [batch, 3, h, w]), weight, { bias, positions });
  }
  const image = graph.input('image', [batch, h, w, 3], 'u8');
  const content = graph.input('content', [batch, 2], 'i32');
  const photograph = { content, mean: PIXEL_MEAN, std: PIXEL_STD };
  return patchEmbed(image, weight, { bias, positions, photograph });
}

/** x += attention(norm1(x)); x += mlp(norm2(x)). */
function block(x: Value, weights: WeightScope, index: number, context: EncoderContext): Value {
  const { config, dtype, f8 } = context;
  const { width, mlpDim } = config;

  const normed = layerNorm(x, ...weights.norm('norm1', width), { eps: EPS, dtype });
  const heads = attentionHeads(normed, weights.sub('attn'), config.globalBlocks.includes(index), context);
  const { weight, bias } = weights.linear('attn.proj', width, width);
  const attended = linear(heads, weight, { bias, residual: x, f8 });

  const lin1 = weights.linear('mlp.lin1', mlpDim, width);
  const lin2 = weights.linear('mlp.lin2', width, mlpDim);
  const normed2 = layerNorm(attended, ...weights.norm('norm2', width), { eps: EPS, dtype });
  const hidden = linear(normed2, lin1.weight, { bias: lin1.bias, activation: 'gelu', f8 });
  return linear(hidden, lin2.weight, { bias: lin2.bias, residual: attended, f8 });
}

function attentionHeads(x: Value, weights: WeightScope, isGlobal: boolean, context: EncoderContext): Value {
  const { config, grid, settings, scale, f8 } = context;
  const { width, heads, headDim, trainedGrid, window } = config;
  const { weight, bias } = weights.linear('qkv', 3 * width, width);
  const qkv = linear(x, weight, { bias, f8 });

  // A learned coefficient multiplies both relative position terms, in windows too.
  const coefficient = config.hasCoefficient ? weights.get('coefficient', [1]) : undefined;
  const trainedLength = 2 * (isGlobal ? trainedGrid : window) - 1;
  const table = (name: string, side: number) =>
    resizeRelPos(weights.get(name, [trainedLength, headDim]), 2 * side - 1, coefficient);
  const common = {
    heads,
    relPosH: table('rel_pos_h', isGlobal ? grid.h : window),
    relPosW: table('rel_pos_w', isGlobal ? grid.w : window),
  };
  // Windows keep their length whatever the image's size: neither length scale nor distance penalty applies there.
  // A window's pad tokens are zeros before the projection: its bias is all that is left of them.
  if (!isGlobal) return gridAttention(qkv, { ...common, pad: bias, window, scale: scale.window });
  return gridAttention(qkv, { ...common, ...settings.distance, scale: scale.global });
}

/** 1×1 convolution, norm, 3×3 convolution, norm; SAM's LayerNorm2d is a norm over channels. */
function neck(x: Value, weights: WeightScope, { config, dtype }: EncoderContext): Value {
  const { width, outChannels } = config;
  const project = reshape(weights.get('0.weight', [outChannels, width, 1, 1]), [outChannels, width]);
  let y = linear(cast(x, dtype), project, { dtype: 'f32' });
  y = layerNorm(y, ...weights.norm('1', outChannels), { eps: EPS, dtype });
  y = conv2d(y, weights.get('2.weight', [outChannels, outChannels, 3, 3]), { padding: 1, dtype: 'f32' });
  return layerNorm(y, ...weights.norm('3', outChannels), { eps: EPS });
}
