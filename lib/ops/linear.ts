// linear: a matrix product with everything that is fused into it.
import type { DType, Value } from '../graph/graph';
import { append, checkOperands, expect, last } from './append';
import type { Activation } from './attributes';

export interface LinearOptions {
  /** [N], f32. */
  bias?: Value;
  /** Not together with a residual. */
  activation?: Activation;
  /** [..., N], added to the product, in the output's dtype. */
  residual?: Value;
  /** Of the output: f32 or that of x (default: the residual's, else that of x). */
  dtype?: DType;
  /**
   * Operands in 8 bits: each row of x and of the weight is rounded to e4m3 times a power of two of its own (docs/ops.md).
   * N and K are multiples of 16. Default false.
   */
  f8?: boolean;
}

/** x [..., K] · weight [N, K]ᵀ + bias → activation → + residual: [..., N]. */
export function linear(x: Value, weight: Value, options: LinearOptions = {}): Value {
  checkOperands('linear', { x, weight }, { options });
  const { bias, activation, residual, f8 } = options;
  expect('linear', weight.shape.length === 2 && weight.shape[1] === last(x), `weight [N, ${last(x)}]`);
  const dtype = options.dtype ?? residual?.dtype ?? x.dtype;
  const shape = [...x.shape.slice(0, -1), weight.shape[0]];
  return append('linear', [x, weight, bias, residual], { activation, f8 }, shape, dtype);
}
