// depthwiseConv2d: a convolution of every channel by itself, with zero padding, channels-last.
import type { DType, Value } from '../graph/graph';
import { append, expect } from './append';
import type { Activation } from './attributes';

/** x [B, H, W, C], weight [C, 1, kh, kw] → [B, H', W', C], zero padding, then the activation. */
export function depthwiseConv2d(
  x: Value,
  weight: Value,
  options: { bias?: Value; stride?: number; padding?: number; activation?: Activation; dtype?: DType } = {},
): Value {
  const { bias, stride = 1, padding = 0, activation, dtype = x.dtype } = options;
  const [batch, height, width, channels] = x.shape;
  const fits = weight.shape.length === 4 && weight.shape[0] === channels && weight.shape[1] === 1;
  expect('depthwiseConv2d', fits, `weight [${channels}, 1, kh, kw]`);
  const side = (length: number, kernel: number) => Math.floor((length + 2 * padding - kernel) / stride) + 1;
  const shape = [batch, side(height, weight.shape[2]), side(width, weight.shape[3]), channels];
  return append('depthwiseConv2d', [x, weight, bias], { stride, padding, activation }, shape, dtype);
}
