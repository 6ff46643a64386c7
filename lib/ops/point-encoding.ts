// pointEncoding: prompt tokens.
import type { Value } from '../graph/graph';
import { append, checkOperands } from './append';

/**
 * Prompt tokens: coords [P, n, 2] in px of the encoder's input, labels [P, n] i32 (−1 not a point, 0 background,
 * 1 foreground, 2 and 3 box corners), gaussian [2, F], embeddings [1, 2F] each → [P, n, 2F].
 */
export function pointEncoding(
  coords: Value,
  labels: Value,
  weights: { gaussian: Value; notAPoint: Value; points: readonly [Value, Value, Value, Value] },
  input: { width: number; height: number },
): Value {
  checkOperands('pointEncoding', { coords, labels }, { weights, input });
  const { gaussian, notAPoint, points } = weights;
  checkOperands('pointEncoding', { gaussian }, { points });
  const shape = [coords.shape[0], coords.shape[1], 2 * gaussian.shape[1]];
  const inputs = [coords, labels, gaussian, notAPoint, ...Array.from(points)];
  return append('pointEncoding', inputs, { input: [input.width, input.height] }, shape, 'f32');
}
