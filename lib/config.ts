// A whole model, inferred from its checkpoint: nobody has to name the variant. Every tensor that it needs is checked here,
// once, against what the others imply.
import { Finder, type NamedTensors } from './checkpoint/finder';
import { inferDecoder, type SamDecoderConfig } from './model/decoder/config';
import { inferEncoder, type SamEncoderConfig } from './model/families';

/** What follows from a checkpoint's shapes: the image encoder's configuration, and the decoder's. */
export type SamConfig = SamEncoderConfig & {
  /** False for an encoder-only checkpoint. */
  readonly hasDecoder: boolean;
  /** Prompt encoder and mask decoder, or null for an encoder-only checkpoint. */
  readonly decoder: SamDecoderConfig | null;
};

/** A tensor that a model of some configuration consists of. */
export interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** False where the model works without it, which the configuration then says. All listed ones are required today. */
  readonly required: boolean;
}

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
  const decoder = inferDecoder(found, encoder.outChannels);
  const config: SamConfig = { ...encoder, hasDecoder: decoder !== null, decoder };
  for (const { name, shape } of expectedTensors(config)) found.check(name, shape);
  return config;
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
    const side = config.globalBlocks.includes(i) ? config.trainedGrid : config.window;
    add(`${b}attn.rel_pos_h`, 2 * side - 1, D);
    add(`${b}attn.rel_pos_w`, 2 * side - 1, D);
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
