// The metrics by name, and several at once on one image.
import { z } from 'zod';
import { invalidArgument } from '../../errors';
import { METRIC_NAMES, type MetricName } from '../../options/evaluate';
import { parse } from '../../options/validate';
import type { BinaryMask, SoftMask } from '../types';
import type { AccumulatorState } from './accumulator';
import { BoundaryIouMetric } from './boundary-iou';
import { Comparison } from './comparison';
import { EMeasureMetric } from './e-measure';
import { FMeasureMetric } from './f-measure';
import { HceMetric } from './hce';
import { MaeMetric } from './mae';
import type { Metric, MetricValues } from './metric';
import { DiceMetric, IouMetric } from './overlap';
import { SMeasureMetric } from './s-measure';
import { WeightedFMeasureMetric } from './weighted-f-measure';

export { CocoApMetric, type CocoApOptions, type Detection, type ImageDetections } from './coco-ap';
export type { AccumulatorState, MetricValues };
export {
  BoundaryIouMetric,
  DiceMetric,
  EMeasureMetric,
  FMeasureMetric,
  HceMetric,
  IouMetric,
  MaeMetric,
  SMeasureMetric,
  WeightedFMeasureMetric,
};

const METRICS = {
  mae: MaeMetric,
  'f-measure': FMeasureMetric,
  'weighted-f-measure': WeightedFMeasureMetric,
  's-measure': SMeasureMetric,
  'e-measure': EMeasureMetric,
  hce: HceMetric,
  iou: IouMetric,
  dice: DiceMetric,
  'boundary-iou': BoundaryIouMetric,
} as const satisfies Record<MetricName, unknown>;

/** What a key of the results is called in tables, and which way it points. */
export interface MetricKey {
  readonly label: string;
  readonly metric: MetricName;
  readonly better: 'higher' | 'lower';
}

/** The keys of the results, in the order of tables. */
export const METRIC_KEYS: Readonly<Record<string, MetricKey>> = {
  mae: { label: 'MAE', metric: 'mae', better: 'lower' },
  maxF: { label: 'max F', metric: 'f-measure', better: 'higher' },
  meanF: { label: 'mean F', metric: 'f-measure', better: 'higher' },
  adaptiveF: { label: 'adaptive F', metric: 'f-measure', better: 'higher' },
  weightedF: { label: 'weighted F', metric: 'weighted-f-measure', better: 'higher' },
  sMeasure: { label: 'S', metric: 's-measure', better: 'higher' },
  maxE: { label: 'max E', metric: 'e-measure', better: 'higher' },
  meanE: { label: 'mean E', metric: 'e-measure', better: 'higher' },
  adaptiveE: { label: 'adaptive E', metric: 'e-measure', better: 'higher' },
  hce: { label: 'HCE', metric: 'hce', better: 'lower' },
  iou: { label: 'IoU', metric: 'iou', better: 'higher' },
  dice: { label: 'Dice', metric: 'dice', better: 'higher' },
  boundaryIou: { label: 'boundary IoU', metric: 'boundary-iou', better: 'higher' },
};

const optionsSchema = z.strictObject({
  normalize: z.boolean().optional(),
  average: z.enum(['image', 'dataset']).optional(),
  threshold: z.number().min(0).max(1).optional(),
  dilationRatio: z.number().min(0).max(1).optional(),
  relax: z.int().min(0).max(1000).optional(),
  epsilon: z.number().min(0).max(1000).optional(),
  distanceTo: z.enum(['line', 'segment']).optional(),
});

/** Options of all metrics; each takes its own. */
export type MetricOptions = Readonly<z.infer<typeof optionsSchema>>;

/** State of a {@link MetricSet}, by metric. */
export type MetricSetState = Readonly<Partial<Record<MetricName, AccumulatorState>>>;

/** Several metrics that share what they compute of an image. */
export class MetricSet {
  private readonly metrics: ReadonlyMap<MetricName, Metric>;
  private readonly normalize: boolean;

  /** Use {@link createMetrics}, which checks its arguments. */
  constructor(names: readonly MetricName[], options: MetricOptions) {
    this.normalize = options.normalize ?? true;
    this.metrics = new Map(names.map((name) => [name, new METRICS[name](options)]));
  }

  get names(): MetricName[] {
    return [...this.metrics.keys()];
  }

  /**
   * Adds an image.
   *
   * @returns its values, of all metrics
   * @throws SamError `ERR_INVALID_ARGUMENT` when the sizes differ or a prediction's value is outside [0, 1]
   */
  add(prediction: SoftMask, truth: BinaryMask): MetricValues {
    const comparison = new Comparison(prediction, truth, this.normalize);
    return Object.assign({}, ...[...this.metrics.values()].map((metric) => metric.addComparison(comparison)));
  }

  /** The dataset's values so far, of all metrics; NaN before the first image. */
  result(): MetricValues {
    return Object.assign({}, ...[...this.metrics.values()].map((metric) => metric.result()));
  }

  /** Everything that {@link restore} and {@link merge} need; survives JSON unchanged. */
  state(): MetricSetState {
    return Object.fromEntries([...this.metrics].map(([name, metric]) => [name, metric.state()]));
  }

  /**
   * Forgets all images and goes on from `state`.
   *
   * @throws SamError `ERR_INVALID_ARGUMENT` when it is not a state of these metrics
   */
  restore(state: unknown): void {
    const states = this.statesOf(state);
    for (const [name, metric] of this.metrics) metric.restore(states[name]);
  }

  /** Adds the images of another set of the same metrics and options, given its state. Errors as {@link restore}. */
  merge(state: unknown): void {
    const states = this.statesOf(state);
    for (const [name, metric] of this.metrics) metric.merge(states[name]);
  }

  private statesOf(state: unknown): Record<string, unknown> {
    const states = parse(z.record(z.string(), z.unknown()), state, 'state');
    const [given, wanted] = [Object.keys(states).sort().join(', '), this.names.sort().join(', ')];
    if (given !== wanted) throw invalidArgument('state', `object with the keys ${wanted}`, given);
    return states;
  }
}

/**
 * Several metrics at once.
 *
 * @param names of {@link METRIC_NAMES}
 * @throws SamError `ERR_INVALID_ARGUMENT` when a name or an option is unknown or out of range
 */
export function createMetrics(names: readonly MetricName[], options: MetricOptions = {}): MetricSet {
  const namesSchema = z.array(z.enum(METRIC_NAMES)).min(1);
  return new MetricSet(parse(namesSchema, names, 'names'), parse(optionsSchema, options, 'options'));
}
