// What the model is asked: prompts from the ground truth, or prompts that know nothing of it.

import { maskBox } from '../image/rle';
import type { PromptKind } from '../options/evaluate';
import type { Prompt } from '../prompts';
import type { Size } from '../size';
import { checkMask } from './metrics/comparison';
import type { BinaryMask } from './types';

/** Prompts that need the truth, and so answer for one object each. */
export type TruthPromptKind = 'gt-box' | 'gt-point';

export function needsTruth(kind: PromptKind): kind is TruthPromptKind {
  return kind === 'gt-box' || kind === 'gt-point';
}

/**
 * The prompt that a truth gives.
 *
 * @returns undefined when the truth is empty: there is nothing to point at
 */
export function truthPrompt(kind: TruthPromptKind, truth: BinaryMask): Prompt | undefined {
  if (kind === 'gt-point') {
    const point = interiorPoint(truth);
    return point && { points: [point] };
  }
  const [x, y, width, height] = maskBox(truth.data, truth.width, truth.height);
  // Edges of pixels, not their centres: the box of one pixel is 1 px wide.
  return width === 0 ? undefined : { box: [x, y, x + width, y + height] };
}

/**
 * Prompts that do not look at the truth: one for `center`, `perSide`² for `grid`, row by row, each in the middle of one
 * of perSide × perSide equal rectangles.
 */
export function blindPrompts(kind: 'center' | 'grid', { width, height }: Size, perSide: number): Prompt[] {
  const count = kind === 'center' ? 1 : perSide;
  const middle = (i: number, length: number) => ((i + 0.5) / count) * length;
  return Array.from({ length: count * count }, (_, i) => ({
    points: [[middle(i % count, width), middle(Math.floor(i / count), height)] as const],
  }));
}

/**
 * The maximum of the distance transform: the pixel inside the mask whose nearest outside pixel is farthest, by Euclidean
 * distance between pixel centres. Beyond the image's edge everything is outside. Of several such pixels the first in
 * reading order is taken.
 *
 * The squared distances are exact integers: columns first, then the lower envelope of the parabolas of each row.
 * Source: Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions", Theory of Computing 8, 2012.
 *
 * @returns [x, y] of the pixel, undefined for an empty mask
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function interiorPoint(mask: BinaryMask): [x: number, y: number] | undefined {
  checkMask('mask', 'Uint8Array', mask);
  const { data, width, height } = mask;
  const [left, top, boxWidth, boxHeight] = maskBox(data, width, height);
  if (boxWidth === 0) return undefined;
  // One pixel of outside around the box: no inside pixel has its nearest outside pixel farther away than that.
  const columns = boxWidth + 2;
  const rows = boxHeight + 2;
  const inside = (x: number, y: number): boolean => {
    const [px, py] = [left + x - 1, top + y - 1];
    return px >= 0 && py >= 0 && px < width && py < height && data[py * width + px] !== 0;
  };

  const vertical = new Int32Array(columns * rows);
  for (let y = 1; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      if (inside(x, y)) vertical[y * columns + x] = vertical[(y - 1) * columns + x]! + 1;
    }
  }
  for (let y = rows - 2; y >= 0; y--) {
    for (let x = 0; x < columns; x++) {
      const below = vertical[(y + 1) * columns + x]! + 1;
      if (vertical[y * columns + x]! > below) vertical[y * columns + x] = below;
    }
  }

  let best = 0;
  let point: [number, number] | undefined;
  const envelope = new LowerEnvelope(columns);
  for (let y = 1; y < rows - 1; y++) {
    envelope.build(vertical.subarray(y * columns, (y + 1) * columns));
    for (let x = 1; x < columns - 1; x++) {
      const squared = envelope.next(x);
      if (squared > best) {
        best = squared;
        point = [left + x - 1, top + y - 1];
      }
    }
  }
  return point;
}

// min over v of (x − v)² + f(v)², for ascending x.
class LowerEnvelope {
  private readonly apex: Int32Array;
  /** From where on a parabola is the lowest. */
  private readonly from: Float64Array;
  private count = 0;
  private at = 0;
  private f: Int32Array = new Int32Array(0);

  constructor(length: number) {
    this.apex = new Int32Array(length);
    this.from = new Float64Array(length);
  }

  build(f: Int32Array): void {
    const { apex, from } = this;
    this.f = f;
    this.count = 0;
    this.at = 0;
    for (let v = 0; v < f.length; v++) {
      let start = Number.NEGATIVE_INFINITY;
      while (this.count > 0) {
        const u = apex[this.count - 1]!;
        start = (f[v]! ** 2 + v ** 2 - (f[u]! ** 2 + u ** 2)) / (2 * (v - u));
        if (start > from[this.count - 1]!) break;
        this.count--;
      }
      apex[this.count] = v;
      from[this.count] = this.count === 0 ? Number.NEGATIVE_INFINITY : start;
      this.count++;
    }
  }

  next(x: number): number {
    while (this.at + 1 < this.count && this.from[this.at + 1]! < x) this.at++;
    const v = this.apex[this.at]!;
    return (x - v) ** 2 + this.f[v]! ** 2;
  }
}
