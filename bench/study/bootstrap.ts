// Confidence intervals of means, by drawing again from what was measured.
import { invalidArgument } from '../../lib/errors';
import { Random } from './random';

/** A mean and its confidence interval. */
export interface Interval {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

/** Options of {@link bootstrapMean}. */
export interface BootstrapOptions {
  /** Default 0. The same seed and number of values draw the same places in every list, as paired comparisons need. */
  seed?: number;
  /** How often to draw; default 10000. */
  resamples?: number;
  /** Share of the resampled means that the interval holds; default 0.95. */
  confidence?: number;
}

/**
 * The mean of values and its percentile bootstrap interval. For a paired comparison, give the differences between
 * two settings on the same scenes: what makes a scene hard for both then cancels.
 * Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
 *
 * @throws SamError ERR_INVALID_ARGUMENT when there are no values, or one is not finite
 */
export function bootstrapMean(values: readonly number[], options: BootstrapOptions = {}): Interval {
  const { seed = 0, resamples = 10_000, confidence = 0.95 } = options;
  if (values.length === 0 || !values.every(Number.isFinite)) {
    throw invalidArgument('values', 'at least one value, all finite', values);
  }
  if (!Number.isInteger(resamples) || resamples < 1) {
    throw invalidArgument('resamples', 'positive integer', resamples);
  }
  if (!(confidence > 0 && confidence < 1)) {
    throw invalidArgument('confidence', 'number between 0 and 1', confidence);
  }
  const count = values.length;
  const random = new Random(seed, count);
  const list = Float64Array.from(values);
  const means = new Float64Array(resamples);
  for (let i = 0; i < resamples; i++) {
    let sum = 0;
    for (let j = 0; j < count; j++) sum += list[Math.floor((random.bits() / 2 ** 32) * count)];
    means[i] = sum / count;
  }
  means.sort();
  return {
    mean: list.reduce((sum, value) => sum + value, 0) / count,
    low: quantile(means, (1 - confidence) / 2),
    high: quantile(means, (1 + confidence) / 2),
  };
}

/** Of ascending values, linear between neighbours. */
function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(sorted.length - 1, below + 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}
