// gridEncoding: positions of the cells of a grid.
import type { Value } from '../graph/graph';
import { append, checkOperands } from './append';

/** gaussian [2, F] → the encoding of every cell's centre: [1, Gh, Gw, 2F]. */
export function gridEncoding(gaussian: Value, grid: { h: number; w: number }): Value {
  checkOperands('gridEncoding', { gaussian }, { grid });
  return append('gridEncoding', [gaussian], {}, [1, grid.h, grid.w, 2 * gaussian.shape[1]], 'f32');
}
