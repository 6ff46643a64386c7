// Error measures. All return NaN when a value is NaN, so that `toBeLessThanOrEqual` fails.

/** max |a − b| / max |b|. */
export function largestRelativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let error = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const e = Math.abs(actual[i] - expected[i]);
    if (!(e <= error)) error = e;
    largest = Math.max(largest, Math.abs(expected[i]));
    if (Number.isNaN(error)) return Number.NaN;
  }
  return error / largest;
}

/** ‖a − b‖ / ‖b‖. */
export function relativeL2(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let error = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(error / norm);
}
