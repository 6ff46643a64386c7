// resizeRelPos: a table of relative positions at another length.
import type { Value } from '../graph/graph';
import { append, checkOperands } from './append';

/** Relative positions [L, D] → coefficient · [length, D], linear; itself when nothing changes. */
export function resizeRelPos(table: Value, length: number, coefficient?: Value): Value {
  checkOperands('resizeRelPos', { table });
  if (table.shape[0] === length && !coefficient) return table;
  return append('resizeRelPos', [table, coefficient], {}, [length, table.shape[1]], 'f32');
}
