// Which of an image's detections find which of its objects, by pycocotools' rules (cocoeval.py, evaluateImg).
import type { BinaryMask } from '../types';
import { intersection, toRuns } from './runs';

/** 0.50 to 0.95 in steps of 0.05, as numpy's linspace rounds them. */
export const IOU_THRESHOLDS: readonly number[] = Array.from({ length: 10 }, (_, i) =>
  i === 9 ? 0.95 : i * ((0.95 - 0.5) / 9) + 0.5,
);

/** Ranges of an object's area in px, both ends included. */
export const AREA_RANGES = [
  { name: 'all', least: 0, most: 1e5 ** 2 },
  { name: 'small', least: 0, most: 32 ** 2 },
  { name: 'medium', least: 32 ** 2, most: 96 ** 2 },
  { name: 'large', least: 96 ** 2, most: 1e5 ** 2 },
] as const;

/** Best detections that count, per image and category. */
export const MAX_DETECTIONS = [1, 10, 100] as const;

/** What became of one image's detections of a category. */
export interface CategoryMatches {
  readonly category: number;
  /** Descending. */
  readonly scores: readonly number[];
  /**
   * By range of areas and detection: bit t is set when it found an object at threshold t, bit t + 10 when it counts
   * neither way there.
   */
  readonly outcomes: readonly (readonly number[])[];
  /** Objects to be found, by range of areas. */
  readonly objects: readonly number[];
}

interface Group {
  readonly category: number;
  readonly instances: readonly {
    readonly crowd: boolean;
    readonly area: number;
    readonly mask: BinaryMask;
  }[];
  readonly detections: readonly { readonly score: number; readonly mask: BinaryMask }[];
}

/** Matches one image's detections of a category with its objects. Masks have one size. */
export function matchCategory({ category, instances, detections }: Group): CategoryMatches {
  const ranked = [...detections].sort((a, b) => b.score - a.score).slice(0, MAX_DETECTIONS[2]);
  const found = ranked.map(({ mask }) => toRuns(mask));
  const objects = instances.map(({ mask }) => toRuns(mask));
  // Of a crowd it is enough that the detection lies within.
  const overlaps = found.map((detection) =>
    objects.map((object, g) => {
      const common = intersection(detection, object);
      if (common === 0) return 0;
      return common / (detection.area + (instances[g]!.crowd ? 0 : object.area - common));
    }),
  );

  const outcomes: number[][] = [];
  const counts: number[] = [];
  for (const { least, most } of AREA_RANGES) {
    const outside = (area: number): boolean => area < least || area > most;
    const ignored = instances.map(({ crowd, area }) => crowd || outside(area));
    const order = [...instances.keys()].sort((a, b) => Number(ignored[a]) - Number(ignored[b]));
    const bits = new Array<number>(ranked.length).fill(0);
    for (const [t, threshold] of IOU_THRESHOLDS.entries()) {
      const taken = new Set<number>();
      for (const [d, row] of overlaps.entries()) {
        const match = bestMatch(row, order, threshold, ignored, (g) => taken.has(g) && !instances[g]!.crowd);
        if (match !== undefined) taken.add(match);
        const neutral = match === undefined ? outside(found[d]!.area) : ignored[match]!;
        bits[d]! |= (match === undefined ? 0 : 1 << t) | (neutral ? 1 << (t + IOU_THRESHOLDS.length) : 0);
      }
    }
    outcomes.push(bits);
    counts.push(ignored.filter((value) => !value).length);
  }
  return { category, scores: ranked.map(({ score }) => score), outcomes, objects: counts };
}

// The free object with the largest overlap, the last of equals; one that counts is preferred to one that is ignored.
function bestMatch(
  overlaps: readonly number[],
  order: readonly number[],
  threshold: number,
  ignored: readonly boolean[],
  isTaken: (object: number) => boolean,
): number | undefined {
  let best: number | undefined;
  let overlap = Math.min(threshold, 1 - 1e-10);
  for (const g of order) {
    if (isTaken(g)) continue;
    if (best !== undefined && !ignored[best] && ignored[g]) break;
    if (overlaps[g]! < overlap) continue;
    overlap = overlaps[g]!;
    best = g;
  }
  return best;
}
