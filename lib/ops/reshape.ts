// reshape: a view, free.
import { checkShape, elementCount, type Shape, type Value } from '../graph/graph';
import { append, checkOperands, expect } from './append';

/** The same elements under another shape: free. */
export function reshape(x: Value, shape: Shape): Value {
  checkOperands('reshape', { x });
  checkShape('reshape: shape', shape);
  expect('reshape', elementCount(shape) === elementCount(x.shape), `${elementCount(x.shape)} elements`);
  return append('reshape', [x], {}, shape, x.dtype);
}
