// matmul: a batch of matrix products.
import type { Value } from '../graph/graph';
import { append, checkOperands } from './append';

/** a [B, M, K] · b [B, N, K]ᵀ → [B, M, N]. */
export function matmul(a: Value, b: Value): Value {
  checkOperands('matmul', { a, b });
  return append('matmul', [a, b], {}, [a.shape[0], a.shape[1], b.shape[1]], a.dtype);
}
