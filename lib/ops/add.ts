// add: with broadcasting.
import type { Value } from '../graph/graph';
import { append, checkOperands } from './append';

/** a + b with numpy broadcasting; equal ranks and dtypes. */
export function add(a: Value, b: Value): Value {
  checkOperands('add', { a, b });
  const shape = a.shape.map((dim, i) => (dim === 1 ? b.shape[i] : dim));
  return append('add', [a, b], {}, shape, a.dtype);
}
