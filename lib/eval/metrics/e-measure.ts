// Enhanced-alignment measure (Fan et al. 2018) over 256 thresholds and at an adaptive one.

import { type Comparison, LEVELS } from './comparison';
import { EPSILON, largest, Metric, type MetricValues, mean, type NormalizeOptions } from './metric';

/**
 * `maxE` and `meanE` of the curve over thresholds that is averaged over images, and `adaptiveE` at twice the
 * prediction's mean.
 *
 * A thresholded prediction and a ground truth, each less its mean, take two values each. So the alignment matrix has at
 * most four, and counts of hits are all it takes.
 */
export class EMeasureMetric extends Metric {
  constructor(options: NormalizeOptions = {}) {
    super(options, { adaptiveE: 1, e: LEVELS });
  }

  override addComparison(comparison: Comparison): MetricValues {
    const adaptive = comparison.hitsFrom(comparison.adaptiveThreshold);
    const adaptiveE = eMeasure(adaptive.inside, adaptive.outside, comparison);
    const { inside, outside } = comparison.hitsByLevel;
    const e = inside.map((hits, t) => eMeasure(hits, outside[t]!, comparison));
    this.totals.add({ adaptiveE: [adaptiveE], e });
    return { maxE: largest(e), meanE: mean(e), adaptiveE };
  }

  override result(): MetricValues {
    const curve = this.totals.means('e');
    return { maxE: largest(curve), meanE: mean(curve), adaptiveE: this.totals.means('adaptiveE')[0]! };
  }
}

function eMeasure(truePositives: number, falsePositives: number, { inside, size }: Comparison): number {
  const predicted = truePositives + falsePositives;
  return alignment() / (size - 1 + EPSILON);

  function alignment(): number {
    // Nothing to align to: the share of pixels that agree with the flat ground truth.
    if (inside === 0) return size - predicted;
    if (inside === size) return predicted;
    const meanPrediction = predicted / size;
    const meanTruth = inside / size;
    const falseNegatives = inside - truePositives;
    return (
      truePositives * enhanced(1 - meanPrediction, 1 - meanTruth) +
      falsePositives * enhanced(1 - meanPrediction, -meanTruth) +
      falseNegatives * enhanced(-meanPrediction, 1 - meanTruth) +
      (size - predicted - falseNegatives) * enhanced(-meanPrediction, -meanTruth)
    );
  }
}

// Fan et al. 2018, equations 3 and 4.
function enhanced(prediction: number, truth: number): number {
  const aligned = (2 * prediction * truth) / (prediction ** 2 + truth ** 2 + EPSILON);
  return (aligned + 1) ** 2 / 4;
}
