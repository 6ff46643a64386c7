// convTranspose2d: a transposed convolution whose kernel is as large as its stride.
import type { Value } from '../graph/graph';
import { append, checkOperands } from './append';
import type { Activation } from './attributes';

/** x [B, H, W, I], weight [I, O, k, k], stride k → [B, k·H, k·W, O]. */
export function convTranspose2d(
  x: Value,
  weight: Value,
  options: { bias?: Value; activation?: Activation } = {},
): Value {
  checkOperands('convTranspose2d', { x, weight }, { options });
  const k = weight.shape[2];
  const shape = [x.shape[0], x.shape[1] * k, x.shape[2] * k, weight.shape[1]];
  const { bias, activation } = options;
  return append('convTranspose2d', [x, weight, bias], { activation }, shape, x.dtype);
}
