// patchEmbed: pixels to tokens, a convolution whose stride is its kernel.
import type { Value } from '../graph/graph';
import { append, checkOperands, expect } from './append';

/** Photographs as they are decoded: what makes u8 pixels the numbers that a model was trained on. */
export interface PatchEmbedPhotograph {
  /** [B, 2] i32: height and width of each picture in its canvas; what lies outside becomes 0. */
  content: Value;
  /** Per channel, of values 0 … 255. */
  mean: readonly [number, number, number];
  std: readonly [number, number, number];
}

/**
 * pixels [B, I, H, W] f32, or [B, H, W, 3] u8 with `photograph`: (x − mean) / std inside the content and 0 outside;
 * weight [C, I, P, P] (+ positions [1, Gh, Gw, C]) → tokens [B, Gh, Gw, C] f32.
 */
export function patchEmbed(
  pixels: Value,
  weight: Value,
  options: { bias?: Value; positions?: Value; photograph?: PatchEmbedPhotograph } = {},
): Value {
  checkOperands('patchEmbed', { pixels, weight }, { options });
  const { bias, positions, photograph } = options;
  if (photograph !== undefined) checkOperands('patchEmbed', {}, { photograph });
  const isPhotograph = pixels.dtype === 'u8';
  expect('patchEmbed', isPhotograph === (photograph !== undefined), 'photograph exactly with u8 pixels');
  const patch = weight.shape[2];
  const [height, width] = isPhotograph ? pixels.shape.slice(1, 3) : pixels.shape.slice(2, 4);
  const shape = [pixels.shape[0], height / patch, width / patch, weight.shape[0]];
  if (!photograph) return append('patchEmbed', [pixels, weight, bias, positions], {}, shape, 'f32');
  const { content, mean, std } = photograph;
  const inputs = [pixels, weight, bias, positions, content];
  return append('patchEmbed', inputs, { pixel_mean: mean, pixel_std: std }, shape, 'f32');
}
