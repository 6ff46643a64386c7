// Official names of the tensors of prompt encoder and mask decoder from those of Hugging Face's SamModel and SamHQModel.

/** The position encoding, which Hugging Face ties to two names. */
export const POSITION_ENCODING = 'prompt_encoder.pe_layer.positional_encoding_gaussian_matrix';

/** Applied in this order; each changes its own part of a key. */
const RENAMINGS: readonly (readonly [RegExp, string])[] = [
  [/^(shared_image_embedding|prompt_encoder\.shared_embedding)\.positional_embedding$/, POSITION_ENCODING],
  [/^prompt_encoder\.point_embed\./, 'prompt_encoder.point_embeddings.'],
  [/^prompt_encoder\.mask_embed\.conv1\./, 'prompt_encoder.mask_downscaling.0.'],
  [/^prompt_encoder\.mask_embed\.layer_norm1\./, 'prompt_encoder.mask_downscaling.1.'],
  [/^prompt_encoder\.mask_embed\.conv2\./, 'prompt_encoder.mask_downscaling.3.'],
  [/^prompt_encoder\.mask_embed\.layer_norm2\./, 'prompt_encoder.mask_downscaling.4.'],
  [/^prompt_encoder\.mask_embed\.conv3\./, 'prompt_encoder.mask_downscaling.6.'],
  [/^(mask_decoder\.transformer\.layers\.\d+\.)layer_norm([1-4])\./, '$1norm$2.'],
  [/^mask_decoder\.transformer\.layer_norm_final_attn\./, 'mask_decoder.transformer.norm_final_attn.'],
  [/^mask_decoder\.upscale_conv1\./, 'mask_decoder.output_upscaling.0.'],
  [/^mask_decoder\.upscale_layer_norm\./, 'mask_decoder.output_upscaling.1.'],
  [/^mask_decoder\.upscale_conv2\./, 'mask_decoder.output_upscaling.3.'],
  // Of SamHQModel.
  [/^mask_decoder\.hq_token\./, 'mask_decoder.hf_token.'],
  [/^mask_decoder\.compress_vit_conv1\./, 'mask_decoder.compress_vit_feat.0.'],
  [/^mask_decoder\.compress_vit_norm\./, 'mask_decoder.compress_vit_feat.1.'],
  [/^mask_decoder\.compress_vit_conv2\./, 'mask_decoder.compress_vit_feat.3.'],
  [/^mask_decoder\.encoder_conv1\./, 'mask_decoder.embedding_encoder.0.'],
  [/^mask_decoder\.encoder_norm\./, 'mask_decoder.embedding_encoder.1.'],
  [/^mask_decoder\.encoder_conv2\./, 'mask_decoder.embedding_encoder.3.'],
  [/^mask_decoder\.mask_conv1\./, 'mask_decoder.embedding_maskfeature.0.'],
  [/^mask_decoder\.mask_norm\./, 'mask_decoder.embedding_maskfeature.1.'],
  [/^mask_decoder\.mask_conv2\./, 'mask_decoder.embedding_maskfeature.3.'],
];
/** An MLP's first layer is called proj_in, its last proj_out, and those between are counted from 0. */
const MLP =
  /^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head|hq_mask_mlp)\.)(proj_in|proj_out|layers\.\d+)\./;

export function fromHuggingFace(name: string): string {
  const mlp = MLP.exec(name);
  if (mlp) {
    // SAM's MLPs have three layers. One of another depth would put two tensors on layers.2, which is refused.
    const layer =
      mlp[2] === 'proj_in' ? 0 : mlp[2] === 'proj_out' ? 2 : 1 + Number(mlp[2]!.slice('layers.'.length));
    const module = mlp[1]!.replace('.hq_mask_mlp.', '.hf_mlp.');
    return `${module}layers.${layer}.${name.slice(mlp[0].length)}`;
  }
  return RENAMINGS.reduce((key, [pattern, official]) => key.replace(pattern, official), name);
}
