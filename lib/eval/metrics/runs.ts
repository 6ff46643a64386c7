// Masks as runs along their rows: areas and intersections in time that grows with outlines instead of areas.
import type { BinaryMask } from '../types';

/** A mask's runs and what overlaps are computed from. */
export interface Runs {
  /** Pairs of index of the first pixel and index after the last one, ascending, in row-major order. */
  readonly bounds: Uint32Array;
  readonly area: number;
}

/** @param mask `[height, width]`; any value but 0 is inside */
export function toRuns({ data }: BinaryMask): Runs {
  const bounds: number[] = [];
  let area = 0;
  for (let i = 0; i < data.length; i++) {
    if (data[i] === 0) continue;
    const first = i;
    while (i < data.length && data[i] !== 0) i++;
    bounds.push(first, i);
    area += i - first;
  }
  return { bounds: Uint32Array.from(bounds), area };
}

/** Pixels inside both masks, which have the same size. */
export function intersection({ bounds: a }: Runs, { bounds: b }: Runs): number {
  let area = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const from = Math.max(a[i]!, b[j]!);
    const endA = a[i + 1]!;
    const endB = b[j + 1]!;
    area += Math.max(Math.min(endA, endB) - from, 0);
    if (endA <= endB) i += 2;
    else j += 2;
  }
  return area;
}
