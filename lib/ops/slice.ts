// slice: some of the tokens.
import type { Value } from '../graph/graph';
import { append, checkOperands } from './append';

/** x [B, N, C] → tokens start … start + count. */
export function slice(x: Value, start: number, count: number): Value {
  checkOperands('slice', { x });
  return append('slice', [x], { start, count }, [x.shape[0], count, x.shape[2]], x.dtype);
}
