// Mean absolute error (Perazzi et al. 2012, "Saliency filters").

import type { Comparison } from './comparison';
import { MeanMetric, type NormalizeOptions } from './metric';

/** `mae`: mean of |prediction - truth| over an image's pixels, then over images. */
export class MaeMetric extends MeanMetric {
  constructor(options: NormalizeOptions = {}) {
    super(options, 'mae');
  }

  protected override measure({ values, truth, size }: Comparison): number {
    let sum = 0;
    for (let i = 0; i < size; i++) sum += Math.abs(values[i]! - truth[i]!);
    return sum / size;
  }
}
