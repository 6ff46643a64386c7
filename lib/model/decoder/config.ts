// Prompt encoder and mask decoder from a checkpoint's shapes.
import type { Finder } from '../../checkpoint/finder';
import { decoderWeights } from './mask-decoder';

/** Prompt encoder and mask decoder. */
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
  /** In SAM-HQ: what its additions take. */
  readonly hq?: {
    /** Channels of the tokens after the image encoder's first global block. */
    readonly earlyChannels: number;
  };
}

/** Of all published models. */
export const SAM_DECODER: SamDecoderConfig = {
  dim: 256,
  depth: 2,
  heads: 8,
  mlpDim: 2048,
  maskTokens: 4,
  maskChannels: 16,
  iouDim: 256,
};

const DECODER_HEADS = 8;
// A checkpoint is untrusted input: these bounds are far above any SAM and far below what exhausts memory.
const MAX_DEPTH = 64;
const MAX_MLP = 131_072;
const MAX_MASK_TOKENS = 64;
const MAX_MASK_CHANNELS = 16_384;
const MAX_EARLY_CHANNELS = 16_384;

/**
 * A single tensor of SAM's decoder makes a decoder, so that half of one is an error.
 *
 * @param dim channels of the image embedding
 * @returns null where the file has an image encoder only
 * @throws SamError ERR_CHECKPOINT
 */
export function inferDecoder(found: Finder, dim: number): SamDecoderConfig | null {
  const names = new Set(decoderWeights(SAM_DECODER).map(({ name }) => name!));
  if (![...names].some((name) => found.has(name))) return null;
  const d = 'mask_decoder.';
  if (dim % (2 * DECODER_HEADS) !== 0) {
    throw found.error(
      `expected output channels divisible by ${2 * DECODER_HEADS} for the decoder but found ${dim}`,
    );
  }
  const depth = found.count(`${d}transformer.layers.`, MAX_DEPTH, names);
  const [mlpDim] = found.shape(`${d}transformer.layers.0.mlp.lin1.weight`, ['mlp', dim]);
  found.bound('decoder MLP size', mlpDim, MAX_MLP);
  const [maskTokens] = found.shape(`${d}mask_tokens.weight`, ['masks', dim]);
  found.bound('number of mask tokens', maskTokens, MAX_MASK_TOKENS, 2);
  const [maskChannels] = found.shape('prompt_encoder.mask_downscaling.3.weight', ['m', 'm / 4', 2, 2]);
  found.bound('mask prompt channels', maskChannels, MAX_MASK_CHANNELS, 4);
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
  const config = { dim, depth, heads: DECODER_HEADS, mlpDim, maskTokens, maskChannels, iouDim } as const;
  if (!found.has(`${d}hf_token.weight`)) return config;
  const [earlyChannels] = found.shape(`${d}compress_vit_feat.0.weight`, ['early', dim, 2, 2]);
  found.bound('early feature', earlyChannels, MAX_EARLY_CHANNELS);
  return { ...config, hq: { earlyChannels } };
}
