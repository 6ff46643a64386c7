// The shape of a SAM model, inferred from its checkpoint: nobody has to name the variant. Every tensor that the
// model needs is checked here, once, against what the others imply.
import { Finder, type NamedTensors } from './checkpoint/finder';

/** What follows from a checkpoint's shapes. Sizes in tokens or channels unless the name says px. */
export interface SamConfig {
  /** Side of a patch, in px. */
  readonly patch: number;
  /** C, channels of a token in the image encoder. */
  readonly width: number;
  /** H, attention heads of the image encoder. */
  readonly heads: number;
  /** D = C / H, at most 256. */
  readonly headDim: number;
  /** Number of blocks in the image encoder. */
  readonly depth: number;
  /** Hidden channels of a block's MLP. */
  readonly mlpDim: number;
  /** S, side of an attention window in tokens. Without any windowed block it is `trainedGrid`. */
  readonly window: number;
  /** Indices of the blocks that attend over all tokens, ascending. */
  readonly globalBlocks: readonly number[];
  /** Side of the token grid of training; n0 = trainedGrid². */
  readonly trainedGrid: number;
  /** Side of the image of training: `trainedGrid * patch`. */
  readonly trainedSide_px: number;
  /** Channels of the image embedding. */
  readonly outChannels: number;
  /** False in checkpoints of BA-SAM's released code. */
  readonly hasPosEmbed: boolean;
  /** Relative position tables; always true, since the number of heads is read from them. */
  readonly hasRelPos: boolean;
  /** A learned factor on the relative position terms (`attn.coefficient`), in BA-SAM's released code. */
  readonly hasCoefficient: boolean;
  /** False for an encoder-only checkpoint. */
  readonly hasDecoder: boolean;
  /** Prompt encoder and mask decoder, or null for an encoder-only checkpoint. */
  readonly decoder: SamDecoderConfig | null;
}

export interface SamDecoderConfig {
  /** Channels; equals the image encoder's `outChannels`. */
  readonly dim: number;
  /** Two-way blocks of the transformer; 2 in SAM. */
  readonly depth: number;
  /** Always 8: no shape depends on it. */
  readonly heads: 8;
  /** Hidden channels of a two-way block's MLP. */
  readonly mlpDim: number;
  /** Masks that the decoder can produce: the single one first, then those of `multimask`; 4 in SAM. */
  readonly maskTokens: number;
  /** Channels inside the mask prompt's convolutions; 16 in SAM. */
  readonly maskChannels: number;
  /** Hidden channels of the IoU head; 256 in SAM. */
  readonly iouDim: number;
}

/** A tensor that a model of some configuration consists of. */
export interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** False where the model works without it, which the configuration then says. All listed ones are required today. */
  readonly required: boolean;
}

const DECODER_HEADS = 8;
// A checkpoint is untrusted input: these bounds are far above any SAM and far below what exhausts memory.
const MAX_PATCH_PX = 256;
const MAX_WIDTH = 16_384;
const MAX_MLP = 131_072;
const MAX_DEPTH = 1000;
/** What the native attention kernels take. */
const MAX_HEAD_DIM = 256;
const MAX_WINDOW = 1024;
const MAX_GRID = 1024;
/** The decoder has 8 heads of at most MAX_HEAD_DIM channels. */
const MAX_OUT_CHANNELS = 2048;
const MAX_DECODER_DEPTH = 64;
const MAX_MASK_TOKENS = 64;

/**
 * Infers a model's configuration and checks every tensor that it needs: presence, shape, and dtype f32, f16 or
 * bf16. Tensors that it does not need are not looked at.
 *
 * @param checkpoint a checkpoint under official names, see `mapKeys`; `path` begins every error, and
 *   `sourceName` lets errors add what the file calls a tensor
 * @throws SamError ERR_CHECKPOINT such as "sam.pth: expected image_encoder.blocks.3.attn.qkv.weight of shape
 *   [2304, 768] but found [2304, 512]"
 */
export function inferConfig(checkpoint: NamedTensors): SamConfig {
  const found = new Finder(checkpoint);
  const encoder = inferEncoder(found);
  const decoder =
    found.has('mask_decoder.') || found.has('prompt_encoder.') ? inferDecoder(found, encoder) : null;
  const config: SamConfig = { ...encoder, hasDecoder: decoder !== null, decoder };
  for (const { name, shape } of expectedTensors(config)) found.check(name, shape);
  return config;
}

function inferEncoder(found: Finder): Omit<SamConfig, 'hasDecoder' | 'decoder'> {
  const e = 'image_encoder.';
  const [width, , patch] = found.shape(`${e}patch_embed.proj.weight`, ['C', 3, 'P', 'P']);
  found.bound('patch size', patch, MAX_PATCH_PX);
  found.bound('width', width, MAX_WIDTH);
  const depth = found.count(`${e}blocks.`, MAX_DEPTH);
  const [mlpDim] = found.shape(`${e}blocks.0.mlp.lin1.weight`, ['mlp', width]);
  found.bound('MLP size', mlpDim, MAX_MLP);
  const [outChannels] = found.shape(`${e}neck.0.weight`, ['out', width, 1, 1]);
  found.bound('output channels', outChannels, MAX_OUT_CHANNELS);

  const hasAny = (what: string) =>
    Array.from({ length: depth }, (_, i) => `${e}blocks.${i}.attn.${what}`).some((name) => found.has(name));
  if (!hasAny('rel_pos_h')) {
    throw found.error(
      'has no relative position tables (image_encoder.blocks.N.attn.rel_pos_h), so the number of attention heads ' +
        'cannot be inferred',
    );
  }
  const tables: number[] = [];
  let headDim = 0;
  for (let i = 0; i < depth; i++) {
    const name = `${e}blocks.${i}.attn.rel_pos_h`;
    const [length, d] = found.shape(name, ['2 * grid - 1', i === 0 ? 'D' : headDim]);
    if (i === 0) headDim = d;
    if (length % 2 !== 1)
      throw found.error(`expected ${name} with an odd number of rows but found ${length}`);
    tables.push((length + 1) / 2);
  }
  found.bound('head size', headDim, MAX_HEAD_DIM);
  if (width % headDim !== 0) {
    throw found.error(
      `expected a head size that divides the ${width} channels but found ${headDim} columns in ${e}blocks.0.attn.rel_pos_h`,
    );
  }

  const hasPosEmbed = found.has(`${e}pos_embed`);
  // Without a position embedding the longest table has to be that of a global block.
  let trainedGrid = tables.reduce((a, b) => Math.max(a, b), 1);
  if (hasPosEmbed) trainedGrid = found.shape(`${e}pos_embed`, [1, 'grid', 'grid', width])[1];
  found.bound('trained grid', trainedGrid, MAX_GRID);
  const globalBlocks: number[] = [];
  // A window can be larger than the grid, so it is not the smallest table but that of the blocks that are not
  // global. Blocks whose window equals the grid look global, and at the trained size there is no difference.
  let window: number | undefined;
  tables.forEach((side, i) => {
    if (side === trainedGrid) globalBlocks.push(i);
    else if (window === undefined) window = side;
    else if (side !== window) {
      throw found.error(
        `expected ${e}blocks.${i}.attn.rel_pos_h of shape [${2 * window - 1}, ${headDim}] (windowed) or ` +
          `[${2 * trainedGrid - 1}, ${headDim}] (global) but found [${2 * side - 1}, ${headDim}]`,
      );
    }
  });
  window ??= trainedGrid;
  found.bound('window', window, MAX_WINDOW);
  return {
    patch,
    width,
    heads: width / headDim,
    headDim,
    depth,
    mlpDim,
    window,
    globalBlocks,
    trainedGrid,
    trainedSide_px: trainedGrid * patch,
    outChannels,
    hasPosEmbed,
    hasRelPos: true,
    hasCoefficient: hasAny('coefficient'),
  };
}

function inferDecoder(found: Finder, { outChannels: dim }: { outChannels: number }): SamDecoderConfig {
  const d = 'mask_decoder.';
  if (dim % (2 * DECODER_HEADS) !== 0) {
    throw found.error(
      `expected output channels divisible by ${2 * DECODER_HEADS} for the decoder but found ${dim}`,
    );
  }
  const depth = found.count(`${d}transformer.layers.`, MAX_DECODER_DEPTH);
  const [mlpDim] = found.shape(`${d}transformer.layers.0.mlp.lin1.weight`, ['mlp', dim]);
  found.bound('decoder MLP size', mlpDim, MAX_MLP);
  const [maskTokens] = found.shape(`${d}mask_tokens.weight`, ['masks', dim]);
  found.bound('number of mask tokens', maskTokens, MAX_MASK_TOKENS, 2);
  const [maskChannels] = found.shape('prompt_encoder.mask_downscaling.3.weight', ['m', 'm / 4', 2, 2]);
  found.bound('mask prompt channels', maskChannels, MAX_WIDTH, 4);
  if (maskChannels % 4 !== 0)
    throw found.error(`expected mask prompt channels divisible by 4, found ${maskChannels}`);
  const [iouDim] = found.shape(`${d}iou_prediction_head.layers.0.weight`, ['hidden', dim]);
  found.bound('IoU head size', iouDim, MAX_MLP);
  // A fourth layer would be left out silently, and the scores would be wrong.
  for (const name of [
    `${d}iou_prediction_head.layers.3.weight`,
    `${d}output_hypernetworks_mlps.0.layers.3.weight`,
  ]) {
    if (found.has(name)) throw found.error(`expected MLPs of 3 layers in the mask decoder but found ${name}`);
  }
  return { dim, depth, heads: DECODER_HEADS, mlpDim, maskTokens, maskChannels, iouDim };
}

/**
 * Every tensor of a model with this configuration, under its official name. A coefficient is listed as [1];
 * a scalar of shape [] is the same thing.
 */
export function expectedTensors(config: SamConfig): ExpectedTensor[] {
  const list: ExpectedTensor[] = [];
  const add = (name: string, ...shape: number[]) => list.push({ name, shape, required: true });
  const affine = (name: string, size: number) => {
    add(`${name}.weight`, size);
    add(`${name}.bias`, size);
  };
  const linear = (name: string, to: number, from: number) => {
    add(`${name}.weight`, to, from);
    add(`${name}.bias`, to);
  };
  const { width: C, patch: P, headDim: D, outChannels: out } = config;
  const e = 'image_encoder.';
  add(`${e}patch_embed.proj.weight`, C, 3, P, P);
  add(`${e}patch_embed.proj.bias`, C);
  if (config.hasPosEmbed) add(`${e}pos_embed`, 1, config.trainedGrid, config.trainedGrid, C);
  for (let i = 0; i < config.depth; i++) {
    const b = `${e}blocks.${i}.`;
    affine(`${b}norm1`, C);
    linear(`${b}attn.qkv`, 3 * C, C);
    linear(`${b}attn.proj`, C, C);
    if (config.hasRelPos) {
      const side = config.globalBlocks.includes(i) ? config.trainedGrid : config.window;
      add(`${b}attn.rel_pos_h`, 2 * side - 1, D);
      add(`${b}attn.rel_pos_w`, 2 * side - 1, D);
    }
    if (config.hasCoefficient) add(`${b}attn.coefficient`, 1);
    affine(`${b}norm2`, C);
    linear(`${b}mlp.lin1`, config.mlpDim, C);
    linear(`${b}mlp.lin2`, C, config.mlpDim);
  }
  add(`${e}neck.0.weight`, out, C, 1, 1);
  affine(`${e}neck.1`, out);
  add(`${e}neck.2.weight`, out, out, 3, 3);
  affine(`${e}neck.3`, out);
  if (!config.decoder) return list;

  const { dim, mlpDim, maskTokens, maskChannels: m, iouDim } = config.decoder;
  const p = 'prompt_encoder.';
  add(`${p}pe_layer.positional_encoding_gaussian_matrix`, 2, dim / 2);
  for (let i = 0; i < 4; i++) add(`${p}point_embeddings.${i}.weight`, 1, dim);
  add(`${p}not_a_point_embed.weight`, 1, dim);
  add(`${p}no_mask_embed.weight`, 1, dim);
  add(`${p}mask_downscaling.0.weight`, m / 4, 1, 2, 2);
  add(`${p}mask_downscaling.0.bias`, m / 4);
  affine(`${p}mask_downscaling.1`, m / 4);
  add(`${p}mask_downscaling.3.weight`, m, m / 4, 2, 2);
  add(`${p}mask_downscaling.3.bias`, m);
  affine(`${p}mask_downscaling.4`, m);
  add(`${p}mask_downscaling.6.weight`, dim, m, 1, 1);
  add(`${p}mask_downscaling.6.bias`, dim);

  const d = 'mask_decoder.';
  const attention = (name: string, inner: number) => {
    for (const projection of ['q_proj', 'k_proj', 'v_proj']) linear(`${name}.${projection}`, inner, dim);
    linear(`${name}.out_proj`, dim, inner);
  };
  add(`${d}iou_token.weight`, 1, dim);
  add(`${d}mask_tokens.weight`, maskTokens, dim);
  for (let i = 0; i < config.decoder.depth; i++) {
    const layer = `${d}transformer.layers.${i}.`;
    attention(`${layer}self_attn`, dim);
    attention(`${layer}cross_attn_token_to_image`, dim / 2);
    attention(`${layer}cross_attn_image_to_token`, dim / 2);
    linear(`${layer}mlp.lin1`, mlpDim, dim);
    linear(`${layer}mlp.lin2`, dim, mlpDim);
    for (let norm = 1; norm <= 4; norm++) affine(`${layer}norm${norm}`, dim);
  }
  attention(`${d}transformer.final_attn_token_to_image`, dim / 2);
  affine(`${d}transformer.norm_final_attn`, dim);
  add(`${d}output_upscaling.0.weight`, dim, dim / 4, 2, 2);
  add(`${d}output_upscaling.0.bias`, dim / 4);
  affine(`${d}output_upscaling.1`, dim / 4);
  add(`${d}output_upscaling.3.weight`, dim / 4, dim / 8, 2, 2);
  add(`${d}output_upscaling.3.bias`, dim / 8);
  const mlp = (name: string, hidden: number, to: number) => {
    linear(`${name}.layers.0`, hidden, dim);
    linear(`${name}.layers.1`, hidden, hidden);
    linear(`${name}.layers.2`, to, hidden);
  };
  for (let i = 0; i < maskTokens; i++) mlp(`${d}output_hypernetworks_mlps.${i}`, dim, dim / 8);
  mlp(`${d}iou_prediction_head`, iouDim, maskTokens);
  return list;
}
