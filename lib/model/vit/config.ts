// The configuration of SAM's ViT.
import type { AttentionTraits } from '../ba-sam';
import type { EncoderConfig } from '../encoder';

/** An image encoder with windowed and global attention. Sizes in tokens or channels unless the name says px. */
export interface ViTConfig extends EncoderConfig {
  readonly family: 'vit';
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
  /**
   * There where the window is as large as the trained grid, so that no tensor tells which blocks are global: whether they are as
   * in SAM, or what the option said. At the trained size it makes no difference, at any other it does.
   */
  readonly globalBlocksFrom?: 'depth' | 'option';
  /** False in checkpoints of BA-SAM's released code. */
  readonly hasPosEmbed: boolean;
  /** A learned factor on the relative position terms (`attn.coefficient`), in BA-SAM's released code. */
  readonly hasCoefficient: boolean;
}

/** Token count that the released code takes for the trained grid, whatever the model. */
const RELEASED_CODE_TOKENS = 4096;

/** What BA-SAM's settings act on. */
export function attentionTraits({ heads, trainedGrid }: ViTConfig): AttentionTraits {
  return { heads, trainedGrid, releasedCodeTokens: RELEASED_CODE_TOKENS };
}
