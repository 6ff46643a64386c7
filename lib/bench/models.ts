// The configurations of SAM's three models, for benchmarks and tests that need one without its checkpoint.
import type { SamConfig, SamDecoderConfig } from '../config';

const ENCODERS = {
  'vit-b': { width: 768, depth: 12, heads: 12, globalBlocks: [2, 5, 8, 11] },
  'vit-l': { width: 1024, depth: 24, heads: 16, globalBlocks: [5, 11, 17, 23] },
  'vit-h': { width: 1280, depth: 32, heads: 16, globalBlocks: [7, 15, 23, 31] },
} as const satisfies Record<ModelName, unknown>;

/** SAM's models, by the name of their image encoder. */
export const MODEL_NAMES = ['vit-b', 'vit-l', 'vit-h'] as const;
export type ModelName = (typeof MODEL_NAMES)[number];

/** The mask decoder of all three. */
export const SAM_DECODER: SamDecoderConfig = {
  dim: 256,
  depth: 2,
  heads: 8,
  mlpDim: 2048,
  maskTokens: 4,
  maskChannels: 16,
  iouDim: 256,
};

/** What `inferConfig` finds in the official checkpoint of this model. */
export function samConfig(name: ModelName): SamConfig {
  const encoder = ENCODERS[name];
  return {
    ...encoder,
    globalBlocks: [...encoder.globalBlocks],
    patch: 16,
    headDim: encoder.width / encoder.heads,
    mlpDim: 4 * encoder.width,
    window: 14,
    trainedGrid: 64,
    trainedSide_px: 1024,
    outChannels: 256,
    hasPosEmbed: true,
    hasRelPos: true,
    hasCoefficient: false,
    hasDecoder: true,
    decoder: SAM_DECODER,
  };
}

/** The same model without prompt encoder and mask decoder. */
export function encoderOnly(config: SamConfig): SamConfig {
  return { ...config, hasDecoder: false, decoder: null };
}
