// Weighted F-measure (Margolin et al. 2014, "How to evaluate foreground maps?").

import type { Comparison } from './comparison';
import { nearestInside } from './feature-transform';
import { EPSILON, MeanMetric, type NormalizeOptions } from './metric';

/** Weights of the 7-tap Gaussian with σ = 5; its outer product is the paper's 7 x 7 kernel. */
const RADIUS = 3;
const SIGMA = 5;
const GAUSSIAN = gaussian();

/**
 * `weightedF` with β² = 1: errors inside the object are forgiven where the neighbourhood is right, errors outside weigh
 * more the farther away they are, up to twice. An empty ground truth scores 0.
 */
export class WeightedFMeasureMetric extends MeanMetric {
  constructor(options: NormalizeOptions = {}) {
    super(options, 'weightedF');
  }

  protected override measure(comparison: Comparison): number {
    const { values, truth, size, width, inside } = comparison;
    if (inside === 0) return 0;
    const errors = new Float64Array(size);
    for (let i = 0; i < size; i++) errors[i] = Math.abs(values[i]! - truth[i]!);
    const nearest = nearestInside(truth, width, comparison.height);

    // To its neighbours inside, a pixel outside stands for the error at the object's edge.
    const extended = new Float64Array(size);
    for (let i = 0; i < size; i++) extended[i] = errors[nearest[i]!]!;
    const smoothed = smoothInside(extended, comparison);

    let errorInside = 0;
    let errorOutside = 0;
    for (let i = 0, y = 0; i < size; y++) {
      for (let x = 0; x < width; x++, i++) {
        if (truth[i] === 1) errorInside += Math.min(errors[i]!, smoothed[i]!);
        else if (errors[i] !== 0) {
          const column = nearest[i]! % width;
          const row = (nearest[i]! - column) / width;
          errorOutside += errors[i]! * importance(Math.sqrt((row - y) ** 2 + (column - x) ** 2));
        }
      }
    }
    const truePositives = inside - errorInside;
    const recall = 1 - errorInside / inside;
    const precision = truePositives / (truePositives + errorOutside + EPSILON);
    return (2 * recall * precision) / (recall + precision + EPSILON);
  }
}

// Equation 11: 1 at the object, 2 far away.
function importance(distance: number): number {
  return 2 - Math.exp((Math.log(0.5) / 5) * distance);
}

function gaussian(): Float64Array {
  const weights = Float64Array.from({ length: 2 * RADIUS + 1 }, (_, i) =>
    Math.exp(-((i - RADIUS) ** 2) / (2 * SIGMA * SIGMA)),
  );
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / sum);
}

// The Gaussian mean at pixels inside the ground truth; beyond the image is 0.
function smoothInside(field: Float64Array, { truth, width, height }: Comparison): Float64Array {
  const across = new Float64Array(width * height);
  for (let y = 0; y < height; y++) {
    const row = y * width;
    for (let x = 0; x < width; x++) {
      const from = Math.max(x - RADIUS, 0);
      const to = Math.min(x + RADIUS, width - 1);
      let sum = 0;
      for (let k = from; k <= to; k++) sum += field[row + k]! * GAUSSIAN[k - x + RADIUS]!;
      across[row + x] = sum;
    }
  }
  const smoothed = new Float64Array(width * height);
  for (let y = 0, i = 0; y < height; y++) {
    const from = Math.max(y - RADIUS, 0);
    const to = Math.min(y + RADIUS, height - 1);
    for (let x = 0; x < width; x++, i++) {
      if (truth[i] === 0) continue;
      let sum = 0;
      for (let k = from; k <= to; k++) sum += across[k * width + x]! * GAUSSIAN[k - y + RADIUS]!;
      smoothed[i] = sum;
    }
  }
  return smoothed;
}
