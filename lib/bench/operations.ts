// How many operations a benchmark's work takes: multiply-adds × 2 of all products and convolutions. Softmax, biases of any
// kind, normalisations, activations, position tables, copies and the masks' upscaling are not counted.
import type { SamDecoderConfig } from '../model/decoder/config';
import type { ViTConfig } from '../model/vit/config';

/**
 * Both products of an attention layer over a grid of N tokens: 4 · N · keys · D · H. In windows only the real tokens ask,
 * and each has all `window`² keys, pad tokens included.
 */
export function attentionOperations(layer: {
  tokens: number;
  heads: number;
  headDim: number;
  window: number | null;
}): number {
  const keys = layer.window === null ? layer.tokens : layer.window ** 2;
  return 4 * layer.tokens * keys * layer.headDim * layer.heads;
}

/** The image encoder on a grid of `tokens`. */
export function encoderOperations(config: ViTConfig, tokens: number): number {
  const { width: c, mlpDim, depth, outChannels: out, patch, heads, headDim, window, globalBlocks } = config;
  const block = 2 * c * 3 * c + 2 * c * c + 2 * 2 * c * mlpDim;
  const neck = 2 * c * out + 2 * 9 * out * out;
  const perToken = depth * block + 2 * 3 * patch * patch * c + neck;
  const global = attentionOperations({ tokens, heads, headDim, window: null });
  const windowed = attentionOperations({ tokens, heads, headDim, window });
  return tokens * perToken + globalBlocks.length * global + (depth - globalBlocks.length) * windowed;
}

/**
 * Prompt encoder and mask decoder for P = `prompts` prompts of n = `tokens` tokens each (points, box corners, the pad
 * point), one mask per prompt, on a grid of N = `cells`. Without mask prompts the image's keys are the same for all
 * prompts until the first layer has updated them, and are projected once; not at all with `imageTokens`, when an earlier
 * call on the image has done it.
 */
export function decoderOperations(
  config: SamDecoderConfig,
  work: { cells: number; prompts: number; tokens: number; maskPrompt: boolean; imageTokens?: boolean },
): number {
  const { dim: c, depth, mlpDim, maskTokens, maskChannels, iouDim } = config;
  const { cells: n, prompts: p, maskPrompt } = work;
  const t = 1 + maskTokens + work.tokens;
  const half = c / 2; // channels of cross attention
  const project = (rows: number, from: number, to: number) => 2 * rows * from * to;

  const selfAttention = 4 * project(p * t, c, c) + 4 * p * t * t * c;
  const cross = 4 * p * t * n * half;
  const tokensToImage = (keys: number) =>
    2 * project(p * t, c, half) + 2 * project(keys * n, c, half) + cross;
  const imageToTokens = (keys: number) =>
    project(keys * n, c, half) + project(p * n, half, c) + 2 * project(p * t, c, half) + cross;
  let total = 0;
  for (let layer = 0; layer < depth; layer++) {
    const keys = layer === 0 && !maskPrompt ? 1 : p;
    total += selfAttention + tokensToImage(keys) + 2 * project(p * t, c, mlpDim) + imageToTokens(keys);
  }
  total += tokensToImage(p);
  if (work.imageTokens) total -= 3 * project(n, c, half);

  // Two transposed convolutions of 2 × 2, then one mask as a product of a vector with every pixel.
  total += project(p * n, c, (4 * c) / 4) + project(p * 4 * n, c / 4, (4 * c) / 8);
  total += project(p, c, c) + project(p, c, c) + project(p, c, c / 8) + project(p * 16 * n, c / 8, 1);
  total += project(p, c, iouDim) + project(p, iouDim, iouDim) + project(p, iouDim, maskTokens);
  if (maskPrompt) {
    const first = maskChannels / 4;
    total += project(p * 4 * n, 4, first) + project(p * n, 4 * first, maskChannels);
    total += project(p * n, maskChannels, c);
  }
  return total;
}
