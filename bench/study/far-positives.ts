// Far false positives: how much of a mask lies where its object certainly is not.
import { SamError } from '../../lib/errors';
import type { BinaryMask } from '../../lib/eval/types';

/**
 * Tokens between the object and what counts as far. A mask that is off by a token follows the model's resolution; what
 * lies beyond two must have come from elsewhere in the image.
 */
export const FAR_TOKENS = 2;

/**
 * The pixels whose Euclidean distance from the nearest pixel of the object, centre to centre, exceeds `distance_px`.
 * All of them for an empty object.
 *
 * @returns [height, width] of the truth
 */
export function farRegion(truth: BinaryMask, distance_px: number): BinaryMask {
  const { data, width, height } = truth;
  const reach = Math.floor(distance_px);
  // Rows to the nearest pixel of the object in the same column; beyond `reach` it does not matter how many.
  const vertical = new Int32Array(width * height);
  const sweep = (from: number, to: number, step: number) => {
    const rows = new Int32Array(width).fill(reach + 1);
    for (let y = from; y !== to; y += step) {
      for (let x = 0; x < width; x++) {
        const p = y * width + x;
        rows[x] = data[p] !== 0 ? 0 : Math.min(reach + 1, rows[x] + 1);
        vertical[p] = step > 0 ? rows[x] : Math.min(vertical[p], rows[x]);
      }
    }
  };
  sweep(0, height, 1);
  sweep(height - 1, -1, -1);

  // A pixel `rows` away in its column covers every column within √(distance² − rows²) of this row.
  const halfWidth = Int32Array.from({ length: reach + 1 }, (_, rows) =>
    Math.floor(Math.sqrt(distance_px * distance_px - rows * rows)),
  );
  const far = new Uint8Array(width * height);
  const change = new Int32Array(width + 1);
  for (let y = 0; y < height; y++) {
    change.fill(0);
    for (let x = 0; x < width; x++) {
      const rows = vertical[y * width + x];
      if (rows > reach) continue;
      change[Math.max(0, x - halfWidth[rows])]++;
      change[Math.min(width, x + halfWidth[rows] + 1)]--;
    }
    for (let x = 0, covering = 0; x < width; x++) {
      covering += change[x];
      if (covering === 0) far[y * width + x] = 1;
    }
  }
  return { data: far, width, height };
}

/**
 * Area of a mask in the far region, relative to the object's area: 0 when nothing of the mask is far, 1 when as much of
 * it is far as the object is large; there is no upper limit.
 *
 * @param far of {@link farRegion}
 * @throws SamError ERR_INVALID_ARGUMENT when sizes differ or the object is empty
 */
export function farFalsePositives(prediction: BinaryMask, truth: BinaryMask, far: BinaryMask): number {
  for (const { width, height } of [truth, far]) {
    if (width === prediction.width && height === prediction.height) continue;
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected masks of ${prediction.width} × ${prediction.height} px but received ${width} × ${height} px`,
    );
  }
  let area = 0;
  let astray = 0;
  for (let p = 0; p < truth.data.length; p++) {
    if (truth.data[p] !== 0) area++;
    if (far.data[p] !== 0 && prediction.data[p] !== 0) astray++;
  }
  if (area === 0) {
    throw new SamError('ERR_INVALID_ARGUMENT', 'Expected an object of at least one pixel for truth');
  }
  return astray / area;
}
