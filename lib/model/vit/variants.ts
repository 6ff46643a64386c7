// The image encoders of SAM's three models, for benchmarks and tests that need one without its checkpoint.
import type { ViTConfig } from './config';

function variant(width: number, depth: number, heads: number, globalBlocks: readonly number[]): ViTConfig {
  return {
    ...{ family: 'vit', patch: 16, width, heads, headDim: width / heads, depth, mlpDim: 4 * width },
    ...{ window: 14, globalBlocks, trainedGrid: 64, trainedSide_px: 1024, outChannels: 256 },
    ...{ hasPosEmbed: true, hasCoefficient: false },
  };
}

/** What is inferred from the official checkpoint of each. */
export const VIT_VARIANTS = {
  'vit-b': variant(768, 12, 12, [2, 5, 8, 11]),
  'vit-l': variant(1024, 24, 16, [5, 11, 17, 23]),
  'vit-h': variant(1280, 32, 16, [7, 15, 23, 31]),
} as const;
