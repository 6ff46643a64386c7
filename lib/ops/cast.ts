// cast: to another float dtype.
import type { DType, Value } from '../graph/graph';
import { append, checkOperands } from './append';

/** Between f32, bf16 and f16, rounding to nearest even; x itself when it has the dtype already. */
export function cast(x: Value, dtype: DType): Value {
  checkOperands('cast', { x });
  return x.dtype === dtype ? x : append('cast', [x], {}, x.shape, dtype);
}
