// How files call the tensors of the ViT: the names of SAM's repository, and those of Hugging Face's SamModel.
import type { EncoderNaming } from '../encoder';

/** From Hugging Face's names, in this order; each changes its own part of a key. */
const RENAMINGS: readonly (readonly [RegExp, string])[] = [
  [/^vision_encoder\.neck\.conv1\./, 'image_encoder.neck.0.'],
  [/^vision_encoder\.neck\.layer_norm1\./, 'image_encoder.neck.1.'],
  [/^vision_encoder\.neck\.conv2\./, 'image_encoder.neck.2.'],
  [/^vision_encoder\.neck\.layer_norm2\./, 'image_encoder.neck.3.'],
  [/^vision_encoder\.layers\./, 'image_encoder.blocks.'],
  [/^vision_encoder\.patch_embed\.projection\./, 'image_encoder.patch_embed.proj.'],
  [/^vision_encoder\.pos_embed$/, 'image_encoder.pos_embed'],
  [/^(image_encoder\.blocks\.\d+\.)layer_norm([12])\./, '$1norm$2.'],
];

export const namings: { readonly official: EncoderNaming; readonly huggingface: EncoderNaming } = {
  official: { anchor: 'patch_embed.proj.weight' },
  huggingface: {
    anchor: 'patch_embed.projection.weight',
    rename: (name) => RENAMINGS.reduce((key, [pattern, official]) => key.replace(pattern, official), name),
  },
};
