// The numbers of one cell: metrics on whole masks or on instances, added up over images.
import { invalidArgument } from '../errors';
import { type EvaluationMetric, METRIC_NAMES, type MetricName } from '../options/evaluate';
import {
  CocoApMetric,
  createMetrics,
  type Detection,
  METRIC_KEYS,
  type MetricSet,
  type MetricValues,
} from './metrics';
import type { BinaryMask, Instance, SoftMask } from './types';

/** Which metrics, and how; plain JSON. */
export interface MetricChoice {
  readonly names: readonly EvaluationMetric[];
  /** Metrics on maps stretch each of them to [0, 1] first. */
  readonly normalize: boolean;
  readonly averageF: 'image' | 'dataset';
}

/** Metrics on SAM's mask, logit > 0. They must not see a stretched map: the faintest one would become a mask. */
const ON_MASKS: readonly EvaluationMetric[] = ['hce', 'iou', 'dice', 'boundary-iou'];

/** Metrics to evaluate unless others are given. HCE takes its time, and is the measure of DIS5K only. */
export function defaultMetrics(instances: boolean, hce: boolean): EvaluationMetric[] {
  return instances ? ['ap', 'iou'] : METRIC_NAMES.filter((name) => name !== 'hce' || hce);
}

/** What a key of the results is called, and which way it points. */
export interface ResultKey {
  readonly label: string;
  readonly better: 'higher' | 'lower';
}

const AP_KEYS = ['AP', 'AP50', 'AP75', 'APsmall', 'APmedium', 'APlarge'];

/** The keys of tables and charts that metrics give, in order. Of AP's twelve numbers these are the precisions. */
export function resultKeys(names: readonly EvaluationMetric[]): Map<string, ResultKey> {
  const keys = new Map<string, ResultKey>();
  if (names.includes('ap')) for (const key of AP_KEYS) keys.set(key, { label: key, better: 'higher' });
  for (const [key, { metric, ...shown }] of Object.entries(METRIC_KEYS)) {
    if (names.includes(metric)) keys.set(key, { label: shown.label, better: shown.better });
  }
  return keys;
}

/** Values by key; null where there is no number: nothing to find, no image yet. */
export type Values = Record<string, number | null>;

/** Adds up images; what one image adds can be saved and merged, in any order. */
export class Tally {
  private readonly sets: ReadonlyMap<'maps' | 'masks', MetricSet>;
  private readonly ap: CocoApMetric | undefined;

  constructor({ names, normalize, averageF }: MetricChoice) {
    const isMetric = (name: EvaluationMetric): name is MetricName => name !== 'ap';
    const all = names.filter(isMetric);
    const maps = all.filter((name) => !ON_MASKS.includes(name));
    const masks = all.filter((name) => ON_MASKS.includes(name));
    const sets = new Map<'maps' | 'masks', MetricSet>();
    if (maps.length > 0) sets.set('maps', createMetrics(maps, { normalize, average: averageF }));
    if (masks.length > 0) sets.set('masks', createMetrics(masks, { normalize: false }));
    this.sets = sets;
    this.ap = names.includes('ap') ? new CocoApMetric() : undefined;
  }

  /**
   * Adds a prediction for a whole image, or for one instance.
   *
   * @returns its own values
   * @throws SamError ERR_INVALID_ARGUMENT when a value is not a number
   */
  addMask(prediction: SoftMask, truth: BinaryMask): Values {
    const values: MetricValues = {};
    for (const set of this.sets.values()) Object.assign(values, set.add(prediction, truth));
    return withoutNaN(values);
  }

  /**
   * Adds what was found in an image with instances, for `ap`.
   *
   * @param image unique in the dataset; its order breaks ties between scores
   */
  addDetections(image: number, instances: readonly Instance[], detections: readonly Detection[]): void {
    this.ap?.add({ image, instances, detections });
  }

  /** The metrics so far. */
  result(): Values {
    const values: Values = {};
    if (this.ap) {
      for (const [key, value] of Object.entries(this.ap.result())) values[key] = value === -1 ? null : value;
    }
    for (const set of this.sets.values()) Object.assign(values, withoutNaN(set.result()));
    return values;
  }

  /** Plain JSON for {@link merge}. */
  state(): unknown {
    return {
      ap: this.ap?.state() ?? null,
      ...Object.fromEntries([...this.sets].map(([key, set]) => [key, set.state()])),
    };
  }

  /**
   * Adds the images of another tally of the same metrics.
   *
   * @throws SamError ERR_INVALID_ARGUMENT when it is no such state
   */
  merge(state: unknown): void {
    if (typeof state !== 'object' || state === null) throw invalidArgument('state', 'object', state);
    const parts = state as Record<string, unknown>;
    this.ap?.merge(parts.ap);
    for (const [key, set] of this.sets) set.merge(parts[key]);
  }
}

// JSON has no NaN.
function withoutNaN(values: MetricValues): Values {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, Number.isFinite(value) ? value : null]),
  );
}
