// Sums of doubles in numpy's order, to the last bit.
//
// The references are written in numpy, and some of their branches compare means with `==` or `>=`: whether a flat
// region counts as structure (S-measure), which pixels reach twice the mean (adaptive thresholds). There the last bit
// decides between 0 and 1, so sums must round as numpy's do.

/**
 * Sum of a rectangle of a row-major matrix as `numpy.sum` of the slice gives it: rows one after the other when the
 * slice has gaps, the whole as one run when it has none; a run is halved until at most 128 values are left, and those
 * go into eight accumulators.
 *
 * @param offset index of the rectangle's first value
 * @param stride distance between two rows
 */
export function sumRectangle(
  values: Float64Array,
  offset: number,
  rows: number,
  columns: number,
  stride: number,
): number {
  if (columns === stride || rows === 1) return pairwiseSum(values, offset, rows * columns, 1);
  if (columns === 1) return pairwiseSum(values, offset, rows, stride);
  let total = 0;
  for (let y = 0; y < rows; y++) total += pairwiseSum(values, offset + y * stride, columns, 1);
  return total;
}

const LEAF = 128;

function pairwiseSum(values: Float64Array, offset: number, count: number, step: number): number {
  if (count > LEAF) {
    const half = Math.floor(count / 2);
    const left = half - (half % 8);
    return (
      pairwiseSum(values, offset, left, step) + pairwiseSum(values, offset + left * step, count - left, step)
    );
  }
  if (count < 8) {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += values[offset + i * step]!;
    return sum;
  }
  let at = offset;
  let s0 = values[at]!;
  let s1 = values[at + step]!;
  let s2 = values[at + 2 * step]!;
  let s3 = values[at + 3 * step]!;
  let s4 = values[at + 4 * step]!;
  let s5 = values[at + 5 * step]!;
  let s6 = values[at + 6 * step]!;
  let s7 = values[at + 7 * step]!;
  const whole = count - (count % 8);
  for (let i = 8; i < whole; i += 8) {
    at = offset + i * step;
    s0 += values[at]!;
    s1 += values[at + step]!;
    s2 += values[at + 2 * step]!;
    s3 += values[at + 3 * step]!;
    s4 += values[at + 4 * step]!;
    s5 += values[at + 5 * step]!;
    s6 += values[at + 6 * step]!;
    s7 += values[at + 7 * step]!;
  }
  let sum = s0 + s1 + (s2 + s3) + (s4 + s5 + (s6 + s7));
  for (let i = whole; i < count; i++) sum += values[offset + i * step]!;
  return sum;
}
