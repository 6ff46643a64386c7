// The nearest pixel inside a mask, for every pixel, in linear time.

/**
 * Index of the nearest pixel inside `mask` in Euclidean distance, exactly; of a pixel inside it is the pixel itself.
 *
 * Of several nearest pixels it is the one that `scipy.ndimage.distance_transform_edt` names, since metrics look up
 * values there: within a column the upper one, among columns the first that the sweep below reaches.
 *
 * Source: Maurer, Qi, Raghavan 2003, "A linear time algorithm for computing exact Euclidean distance transforms of
 * binary images in arbitrary dimensions": nearest pixels within columns, then per row the sequence of columns whose
 * pixel is nearest somewhere on that row.
 *
 * @param mask `[height, width]`, 0 or 1, with at least one pixel inside
 * @returns `[height, width]`, indices into `mask`
 */
export function nearestInside(mask: Uint8Array, width: number, height: number): Int32Array {
  const rowOf = nearestInColumns(mask, width, height);
  const nearest = new Int32Array(width * height);
  const candidates = new Int32Array(width); // columns, ascending
  const offsets = new Float64Array(width); // squared distance of a candidate's pixel from the row
  for (let y = 0; y < height; y++) {
    const row = y * width;
    let last = -1;
    for (let x = 0; x < width; x++) {
      const featureRow = rowOf[row + x]!;
      if (featureRow < 0) continue;
      const offset = (featureRow - y) ** 2;
      while (last >= 1 && isHidden(candidates, offsets, last, x, offset)) last--;
      last++;
      candidates[last] = x;
      offsets[last] = offset;
    }
    let at = 0;
    for (let x = 0; x < width; x++) {
      let distance = offsets[at]! + (candidates[at]! - x) ** 2;
      while (at < last) {
        const next = offsets[at + 1]! + (candidates[at + 1]! - x) ** 2;
        if (distance <= next) break;
        distance = next;
        at++;
      }
      const column = candidates[at]!;
      nearest[row + x] = rowOf[row + column]! * width + column;
    }
  }
  return nearest;
}

// Whether the last candidate is nearest nowhere on the row, between the one before it and a new one at column x. It is
// kept when it is as near as both at a single point.
function isHidden(
  candidates: Int32Array,
  offsets: Float64Array,
  last: number,
  x: number,
  offset: number,
): boolean {
  const a = candidates[last]! - candidates[last - 1]!;
  const b = x - candidates[last]!;
  const c = a + b;
  return c * offsets[last]! - b * offsets[last - 1]! - a * offset - a * b * c > 0;
}

// Row of the nearest pixel inside the mask in the same column, the upper one of two; -1 in columns without any.
function nearestInColumns(mask: Uint8Array, width: number, height: number): Int32Array {
  const rows = new Int32Array(width * height);
  for (let x = 0; x < width; x++) rows[x] = mask[x] === 1 ? 0 : -1;
  for (let y = 1, i = width; y < height; y++) {
    for (let x = 0; x < width; x++, i++) rows[i] = mask[i] === 1 ? y : rows[i - width]!;
  }
  for (let y = height - 2, i = width * (height - 1) - 1; y >= 0; y--) {
    for (let x = width - 1; x >= 0; x--, i--) {
      // The row below has its final value: not above itself unless nothing is at or below it.
      const above = rows[i]!;
      const below = rows[i + width]!;
      if (below > y && (above < 0 || below - y < y - above)) rows[i] = below;
    }
  }
  return rows;
}
