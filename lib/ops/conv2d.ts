// conv2d: a convolution with zero padding, channels-last.
import type { DType, Value } from '../graph/graph';
import { append, checkOperands, convolved } from './append';
import type { Activation } from './attributes';

/** x [B, H, W, I], weight [O, I, kh, kw] → [B, H', W', O], zero padding. */
export function conv2d(
  x: Value,
  weight: Value,
  options: { bias?: Value; stride?: number; padding?: number; activation?: Activation; dtype?: DType } = {},
): Value {
  checkOperands('conv2d', { x, weight }, { options });
  const { bias, stride = 1, padding = 0, activation, dtype = x.dtype } = options;
  const shape = convolved('conv2d', x, weight, stride, padding);
  return append('conv2d', [x, weight, bias], { stride, padding, activation }, shape, dtype);
}
