// Intersection over union and Dice of thresholded predictions.

import type { Comparison } from './comparison';
import { MeanMetric, type ThresholdOptions } from './metric';

abstract class OverlapMetric extends MeanMetric {
  private readonly threshold: number;

  constructor(options: ThresholdOptions, key: string) {
    super(options, key);
    this.threshold = options.threshold ?? 0.5;
  }

  protected override measure(comparison: Comparison): number {
    const { inside, outside } = comparison.hitsAbove(this.threshold);
    return this.ratio(inside, inside + outside, comparison.inside);
  }

  protected abstract ratio(intersection: number, predicted: number, truth: number): number;
}

/** `iou`: mean over images of intersection / union; 0 when both masks are empty, as PySODMetrics has it. */
export class IouMetric extends OverlapMetric {
  constructor(options: ThresholdOptions = {}) {
    super(options, 'iou');
  }

  protected override ratio(intersection: number, predicted: number, truth: number): number {
    const union = predicted + truth - intersection;
    return union === 0 ? 0 : intersection / union;
  }
}

/** `dice`: mean over images of 2 · intersection / (sum of areas); 0 when both masks are empty, as PySODMetrics has it. */
export class DiceMetric extends OverlapMetric {
  constructor(options: ThresholdOptions = {}) {
    super(options, 'dice');
  }

  protected override ratio(intersection: number, predicted: number, truth: number): number {
    const areas = predicted + truth;
    return areas === 0 ? 0 : (2 * intersection) / areas;
  }
}
