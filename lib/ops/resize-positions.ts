// resizePositions: absolute positions at another grid.
import type { Value } from '../graph/graph';
import { append, checkOperands } from './append';

/** Absolute positions [1, S, S, C] → [1, Gh, Gw, C], bicubic; itself at the trained grid. */
export function resizePositions(positions: Value, grid: { h: number; w: number }): Value {
  checkOperands('resizePositions', { positions }, { grid });
  if (positions.shape[1] === grid.h && positions.shape[2] === grid.w) return positions;
  return append('resizePositions', [positions], {}, [1, grid.h, grid.w, positions.shape[3]], 'f32');
}
