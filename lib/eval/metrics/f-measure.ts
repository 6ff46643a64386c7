// F-measure over 256 thresholds and at an adaptive one (Achanta et al. 2009, "Frequency-tuned salient region
// detection"), averaged as PySODMetrics does or as IS-Net does.

import { type Comparison, LEVELS } from './comparison';
import { largest, Metric, type MetricValues, mean, type NormalizeOptions } from './metric';

/** β², which weighs precision above recall (Achanta et al. 2009, section 4.2). */
const BETA_SQUARED = 0.3;

export interface FMeasureOptions extends NormalizeOptions {
  /**
   * Which curve `maxF` and `meanF` are taken of.
   *
   * - `image` (default, PySODMetrics): F at each threshold for each image, averaged over images.
   * - `dataset` (IS-Net, basics.py and train_valid_inference_main.py): precision and recall at each threshold averaged
   *   over images, then one F at each threshold. The thresholds are 0 to 254, and denominators carry IS-Net's terms
   *   against division by zero.
   */
  readonly average?: 'image' | 'dataset';
}

/**
 * `maxF` and `meanF` over thresholds, and `adaptiveF` at twice the prediction's mean. An image without hits, the empty
 * ground truth among them, has F = 0. Per-image values are of the image's own curve, whatever `average` says.
 */
export class FMeasureMetric extends Metric {
  private readonly average: 'image' | 'dataset';

  constructor(options: FMeasureOptions = {}) {
    const average = options.average ?? 'image';
    super(
      options,
      average === 'image'
        ? { adaptiveF: 1, f: LEVELS }
        : { adaptiveF: 1, precision: ISNET_LEVELS, recall: ISNET_LEVELS },
    );
    this.average = average;
  }

  override addComparison(comparison: Comparison): MetricValues {
    const adaptive = comparison.hitsFrom(comparison.adaptiveThreshold);
    const adaptiveF = fMeasure(adaptive.inside, adaptive.outside, comparison.inside);
    const { inside, outside } = comparison.hitsByLevel;
    const f = inside.map((hits, t) => fMeasure(hits, outside[t]!, comparison.inside));
    if (this.average === 'image') this.totals.add({ adaptiveF: [adaptiveF], f });
    else {
      const precision = new Float64Array(ISNET_LEVELS);
      const recall = new Float64Array(ISNET_LEVELS);
      for (let t = 0; t < ISNET_LEVELS; t++) {
        precision[t] = inside[t]! / (inside[t]! + outside[t]! + ISNET_IMAGE_TERM);
        recall[t] = inside[t]! / (comparison.inside + ISNET_IMAGE_TERM);
      }
      this.totals.add({ adaptiveF: [adaptiveF], precision, recall });
    }
    return { maxF: largest(f), meanF: mean(f), adaptiveF };
  }

  override result(): MetricValues {
    const curve = this.average === 'image' ? this.totals.means('f') : this.datasetCurve();
    return { maxF: largest(curve), meanF: mean(curve), adaptiveF: this.totals.means('adaptiveF')[0]! };
  }

  private datasetCurve(): Float64Array {
    const recall = this.totals.means('recall');
    return this.totals.means('precision').map((p, t) => {
      const r = recall[t]!;
      return ((1 + BETA_SQUARED) * p * r) / (BETA_SQUARED * p + r + ISNET_DATASET_TERM);
    });
  }
}

// IS-Net counts in 255 bins, the last of which holds the levels 254 and 255.
const ISNET_LEVELS = 255;
const ISNET_IMAGE_TERM = 1e-4;
const ISNET_DATASET_TERM = 1e-8;

function fMeasure(inside: number, outside: number, truth: number): number {
  if (inside === 0) return 0;
  const precision = inside / (inside + outside);
  const recall = inside / truth;
  return ((1 + BETA_SQUARED) * precision * recall) / (BETA_SQUARED * precision + recall);
}
