// What all metrics on whole masks have in common: per-image values in, dataset values out, state that can be saved.
import type { BinaryMask, SoftMask } from '../types';
import { Accumulator, type AccumulatorState } from './accumulator';
import { Comparison } from './comparison';

/** Numbers by name, for example `{ maxF: 0.91, meanF: 0.88, adaptiveF: 0.87 }`. */
export type MetricValues = Record<string, number>;

export interface NormalizeOptions {
  /**
   * Stretch each prediction to [0, 1] before anything else, as PySODMetrics does; a flat prediction stays as it is.
   * Default true.
   */
  readonly normalize?: boolean;
}

export interface ThresholdOptions extends NormalizeOptions {
  /** A pixel is predicted to be inside when its value is above this. Default 0.5. */
  readonly threshold?: number;
}

/**
 * A metric over a dataset. Results depend on the images, not on their order, and are the same to the bit whether a run
 * went through, was resumed from its state, or was merged from parts.
 */
export abstract class Metric {
  protected readonly normalize: boolean;
  protected totals: Accumulator;

  /** @param channels numbers that are averaged over images, by name */
  constructor(
    options: NormalizeOptions,
    private readonly channels: Readonly<Record<string, number>>,
  ) {
    this.normalize = options.normalize ?? true;
    this.totals = new Accumulator(channels);
  }

  /** Values of one image, added to the totals. */
  abstract addComparison(comparison: Comparison): MetricValues;

  /** Values of the dataset so far; NaN before the first image. */
  abstract result(): MetricValues;

  /**
   * Adds an image.
   *
   * @returns its values
   * @throws SamError `ERR_INVALID_ARGUMENT` when the sizes differ or a prediction's value is outside [0, 1]
   */
  add(prediction: SoftMask, truth: BinaryMask): MetricValues {
    return this.addComparison(new Comparison(prediction, truth, this.normalize));
  }

  /** Everything that {@link restore} and {@link merge} need; survives JSON unchanged. */
  state(): AccumulatorState {
    return this.totals.state();
  }

  /**
   * Forgets all images and goes on from `state`.
   *
   * @throws SamError `ERR_INVALID_ARGUMENT` when it is not a state of this metric; the metric is then as it was
   */
  restore(state: unknown): void {
    const totals = new Accumulator(this.channels);
    totals.merge(state);
    this.totals = totals;
  }

  /** Adds the images of another metric of this kind and these options, given its state. Errors as {@link restore}. */
  merge(state: unknown): void {
    this.totals.merge(state);
  }
}

/** A metric with one number per image, whose value for a dataset is the mean. */
export abstract class MeanMetric extends Metric {
  constructor(
    options: NormalizeOptions,
    private readonly key: string,
  ) {
    super(options, { [key]: 1 });
  }

  protected abstract measure(comparison: Comparison): number;

  override addComparison(comparison: Comparison): MetricValues {
    const value = this.measure(comparison);
    this.totals.add({ [this.key]: [value] });
    return { [this.key]: value };
  }

  override result(): MetricValues {
    return { [this.key]: this.totals.means(this.key)[0]! };
  }
}

/** The distance from 1 to the next double: what the references add to denominators. */
export const EPSILON = Number.EPSILON;

export function largest(curve: Float64Array): number {
  return curve.reduce((a, b) => Math.max(a, b));
}

export function mean(curve: Float64Array): number {
  return curve.reduce((a, b) => a + b) / curve.length;
}
