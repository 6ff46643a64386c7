// depthwiseConv2d: a convolution of every channel by itself, with zero padding, channels-last.
import type { DType, Value } from '../graph/graph';
import { append, checkOperands, convolved, expect, last } from './append';
import type { Activation } from './attributes';

/** x [B, H, W, C], weight [C, 1, kh, kw] → [B, H', W', C], zero padding, then the activation. */
export function depthwiseConv2d(
  x: Value,
  weight: Value,
  options: { bias?: Value; stride?: number; padding?: number; activation?: Activation; dtype?: DType } = {},
): Value {
  checkOperands('depthwiseConv2d', { x, weight }, { options });
  const { bias, stride = 1, padding = 0, activation, dtype = x.dtype } = options;
  const shape = convolved('depthwiseConv2d', x, weight, stride, padding);
  expect(
    'depthwiseConv2d',
    weight.shape[0] === last(x) && weight.shape[1] === 1,
    `weight [${last(x)}, 1, kh, kw]`,
  );
  return append('depthwiseConv2d', [x, weight, bias], { stride, padding, activation }, shape, dtype);
}
