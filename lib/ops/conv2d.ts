// conv2d: a convolution with zero padding, channels-last.
import type { DType, Value } from '../graph/graph';
import { append } from './append';
import type { Activation } from './attributes';

/** x [B, H, W, I], weight [O, I, kh, kw] → [B, H', W', O], zero padding. */
export function conv2d(
  x: Value,
  weight: Value,
  options: { bias?: Value; stride?: number; padding?: number; activation?: Activation; dtype?: DType } = {},
): Value {
  const { bias, stride = 1, padding = 0, activation } = options;
  const side = (length: number, kernel: number) => Math.floor((length + 2 * padding - kernel) / stride) + 1;
  const shape = [
    x.shape[0],
    side(x.shape[1], weight.shape[2]),
    side(x.shape[2], weight.shape[3]),
    weight.shape[0],
  ];
  return append(
    'conv2d',
    [x, weight, bias],
    { stride, padding, activation },
    shape,
    options.dtype ?? x.dtype,
  );
}
