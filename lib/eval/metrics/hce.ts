// Human correction efforts (Qin et al. 2022, "Highly accurate dichotomous image segmentation", section 4): how many
// clicks it would take to correct a mask.

import type { Comparison } from './comparison';
import { findContours } from './contours';
import { MeanMetric, type ThresholdOptions } from './metric';
import { dilateCross, erodeCross, type Plane } from './morphology';
import { countControlPoints, type DistanceTo } from './polyline';
import { skeletonize } from './skeleton';

export interface HceOptions extends ThresholdOptions {
  /** Errors that many erosions make vanish need no correction. Default 5. */
  readonly relax?: number;
  /** How far, in px, a corrected outline may be from the true one. Default 2. */
  readonly epsilon?: number;
  /**
   * What that is measured to. Default `line`, as in all OpenCV until 4.12: published numbers are of that kind. `segment`
   * gives what the reference gives with later versions, usually a little more.
   */
  readonly distanceTo?: DistanceTo;
}

/**
 * `hce`: mean over images of the number of corrections. It grows with the size of the images, and lower is better.
 *
 * Regions that are wrong only by a thin seam are left alone, except where they break a thin structure of the ground
 * truth: its skeleton. Of what remains, an outline beside right pixels costs its control points, and a region that
 * touches none costs one click.
 */
export class HceMetric extends MeanMetric {
  private readonly threshold: number;
  private readonly relax: number;
  private readonly epsilon: number;
  private readonly distanceTo: DistanceTo;

  constructor(options: HceOptions = {}) {
    super(options, 'hce');
    this.threshold = options.threshold ?? 0.5;
    this.relax = options.relax ?? 5;
    this.epsilon = options.epsilon ?? 2;
    this.distanceTo = options.distanceTo ?? 'line';
  }

  protected override measure(comparison: Comparison): number {
    const { truth, width, height } = comparison;
    const plane = (data: Uint8Array): Plane => ({ data, width, height });
    const predicted = comparison.maskAbove(this.threshold);
    const notTruth = not(truth);
    const notPredicted = not(predicted);
    const core = erodeCross(plane(or(truth, predicted)), this.relax);

    const surplus = and(predicted, notTruth);
    const wrong = and(surplus, dilateCross(plane(and(surplus, core)), this.relax, notTruth));

    const lacking = and(truth, notPredicted);
    const lost = and(lacking, dilateCross(plane(and(lacking, core)), this.relax, notPredicted));
    const missing = or(lost, and(skeletonize(truth, width, height), notPredicted));

    const right = and(truth, predicted);
    const outside = not(or(or(right, wrong), missing));
    return this.corrections(plane(wrong), or(right, missing)) + this.corrections(plane(missing), outside);
  }

  // Control points of the regions' borders where they touch `context`, and regions that do not touch it.
  private corrections(regions: Plane, context: Uint8Array): number {
    const { width, height } = regions;
    const near = dilateCross({ data: context, width, height }, 1);
    const { labels, count } = labelRegions(regions);
    const touched = new Uint8Array(count + 1);
    const visited = new Uint8Array(near.length);

    let points = 0;
    for (const contour of findContours(regions.data, width, height)) {
      const stretches: number[][] = [];
      let stretch: number[] | undefined;
      for (const pixel of contour) {
        if (near[pixel] === 0 || visited[pixel] === 1) {
          stretch = undefined;
          continue;
        }
        visited[pixel] = 1;
        touched[labels[pixel]!] = 1;
        if (stretch === undefined) {
          stretch = [];
          stretches.push(stretch);
        }
        stretch.push(pixel);
      }
      joinEnds(stretches, width);
      for (const curve of stretches) {
        points += countControlPoints(curve, width, this.epsilon, this.distanceTo);
      }
    }
    let untouched = 0;
    for (let label = 1; label <= count; label++) if (touched[label] === 0) untouched++;
    return points + untouched;
  }
}

// A contour's first stretch continues its last one when the two meet where the contour closes. As in the reference, it
// is appended backwards.
function joinEnds(stretches: number[][], width: number): void {
  if (stretches.length < 2) return;
  const first = stretches[0]!;
  const last = stretches[stretches.length - 1]!;
  const [a, b] = [first[0]!, last[last.length - 1]!];
  const dx = (a % width) - (b % width);
  const dy = Math.floor(a / width) - Math.floor(b / width);
  if (Math.abs(dx) > 1 || Math.abs(dy) > 1) return;
  for (let i = first.length - 1; i >= 0; i--) last.push(first[i]!);
  stretches.shift();
}

// Numbers the 8-connected regions from 1; 0 is outside.
function labelRegions({ data, width, height }: Plane): { labels: Int32Array; count: number } {
  const labels = new Int32Array(width * height);
  let count = 0;
  const pending: number[] = [];
  for (let start = 0; start < data.length; start++) {
    if (data[start] === 0 || labels[start] !== 0) continue;
    count++;
    labels[start] = count;
    pending.push(start);
    for (let i = pending.pop(); i !== undefined; i = pending.pop()) {
      const x = i % width;
      const y = (i - x) / width;
      for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, height - 1); v++) {
        for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, width - 1); u++) {
          const j = v * width + u;
          if (data[j] === 0 || labels[j] !== 0) continue;
          labels[j] = count;
          pending.push(j);
        }
      }
    }
  }
  return { labels, count };
}

// Loops instead of `map`: a call per pixel would take longer than everything else here.

function and(a: Uint8Array, b: Uint8Array): Uint8Array {
  const result = new Uint8Array(a.length);
  for (let i = 0; i < a.length; i++) result[i] = a[i]! & b[i]!;
  return result;
}

function or(a: Uint8Array, b: Uint8Array): Uint8Array {
  const result = new Uint8Array(a.length);
  for (let i = 0; i < a.length; i++) result[i] = a[i]! | b[i]!;
  return result;
}

function not(a: Uint8Array): Uint8Array {
  const result = new Uint8Array(a.length);
  for (let i = 0; i < a.length; i++) result[i] = a[i]! ^ 1;
  return result;
}
