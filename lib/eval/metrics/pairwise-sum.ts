// Sums of doubles in numpy's order, to the last bit.
//
// The references are written in numpy, and some of their branches compare means with `==` or `>=`: whether a flat
// region counts as structure (S-measure), which pixels reach twice the mean (adaptive thresholds). There the last bit
// decides between 0 and 1, so sums must round as numpy's do (since version 2.3; earlier ones cut slices into other blocks).
// Measured by test/eval/metrics/reference.test.ts: with plain loops four comparisons fail; with numpy's halves but not its
// blocks two, the S-measure of one flat prediction being 0.5732 instead of 0.5725.

/** Values that numpy's iterator buffers when a slice has gaps. */
const BUFFER = 8192;

/**
 * Sum of a rectangle of a row-major matrix as `numpy.sum` of the slice gives it: in one run when it has no gaps,
 * otherwise in blocks of as many whole rows as fit the buffer, at least one.
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
  if (columns === stride || rows === 1) return pairwiseSum(values, offset, rows * columns);
  const blockRows = Math.max(1, Math.floor(BUFFER / columns));
  const block = new Float64Array(Math.min(blockRows, rows) * columns);
  let total = 0;
  for (let y = 0; y < rows; y += blockRows) {
    const count = Math.min(blockRows, rows - y);
    for (let k = 0; k < count; k++) {
      const row = offset + (y + k) * stride;
      block.set(values.subarray(row, row + columns), k * columns);
    }
    total += pairwiseSum(block, 0, count * columns);
  }
  return total;
}

const LEAF = 128;

// Halves a run until at most 128 values are left; those go into eight accumulators.
function pairwiseSum(values: Float64Array, offset: number, count: number): number {
  if (count > LEAF) {
    const half = Math.floor(count / 2);
    const left = half - (half % 8);
    return pairwiseSum(values, offset, left) + pairwiseSum(values, offset + left, count - left);
  }
  const end = offset + count;
  let sum = 0;
  let i = offset;
  if (count >= 8) {
    let s0 = values[i]!;
    let s1 = values[i + 1]!;
    let s2 = values[i + 2]!;
    let s3 = values[i + 3]!;
    let s4 = values[i + 4]!;
    let s5 = values[i + 5]!;
    let s6 = values[i + 6]!;
    let s7 = values[i + 7]!;
    for (i += 8; i + 8 <= end; i += 8) {
      s0 += values[i]!;
      s1 += values[i + 1]!;
      s2 += values[i + 2]!;
      s3 += values[i + 3]!;
      s4 += values[i + 4]!;
      s5 += values[i + 5]!;
      s6 += values[i + 6]!;
      s7 += values[i + 7]!;
    }
    sum = s0 + s1 + (s2 + s3) + (s4 + s5 + (s6 + s7));
  }
  for (; i < end; i++) sum += values[i]!;
  return sum;
}
