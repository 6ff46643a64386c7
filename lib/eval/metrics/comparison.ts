// One image's prediction beside its ground truth, and what several metrics need of the two: computed once, on demand.
import { invalidArgument, SamError } from '../../errors';
import { isTypedArray } from '../../options/validate';
import type { BinaryMask, SoftMask } from '../types';
import { sumRectangle } from './pairwise-sum';

/** Thresholds of the curves: a prediction's 8-bit level is at least 0, 1, …, 255. */
export const LEVELS = 256;

/** Pixels that a threshold keeps, inside and outside the ground truth. */
export interface Hits {
  /** True positives. */
  readonly inside: number;
  /** False positives. */
  readonly outside: number;
}

/**
 * A prediction and its ground truth, checked and in the form that the metrics take.
 *
 * Values are doubles. A float that is the rounding of an 8-bit level k / 255 stands for that level: as a float it may
 * fall just below, and truncation to a threshold would move it to the level before.
 */
export class Comparison {
  readonly width: number;
  readonly height: number;
  /** Pixels. */
  readonly size: number;
  /** The prediction, `[height, width]`, in [0, 1]; stretched to [0, 1] when it was to be normalised and is not flat. */
  readonly values: Float64Array;
  /** The ground truth, `[height, width]`, 0 or 1. */
  readonly truth: Uint8Array;
  /** Pixels inside the ground truth. */
  readonly inside: number;

  private cachedMean: number | undefined;
  private cachedLevels: { inside: Float64Array; outside: Float64Array } | undefined;
  private readonly cachedMasks = new Map<number, Uint8Array>();

  /**
   * @param normalize stretch the prediction to [0, 1], as PySODMetrics does; a flat one stays as it is
   * @throws SamError `ERR_INVALID_ARGUMENT` when sizes differ or a value is outside [0, 1]
   */
  constructor(prediction: SoftMask, truth: BinaryMask, normalize: boolean) {
    checkMask('prediction', 'Float32Array', prediction);
    checkMask('truth', 'Uint8Array', truth);
    if (prediction.width !== truth.width || prediction.height !== truth.height) {
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        `Expected the size of truth (${truth.width} x ${truth.height}) for prediction but received ` +
          `${prediction.width} x ${prediction.height}`,
      );
    }
    this.width = truth.width;
    this.height = truth.height;
    this.size = truth.width * truth.height;
    this.values = widen(prediction.data, normalize);
    [this.truth, this.inside] = toZerosAndOnes(truth.data);
  }

  /** Mean of the prediction, in numpy's order of addition. */
  get mean(): number {
    this.cachedMean ??= sumRectangle(this.values, 0, 1, this.size, this.size) / this.size;
    return this.cachedMean;
  }

  /** Twice the mean, at most 1 (Achanta et al. 2009, section 4.2). */
  get adaptiveThreshold(): number {
    return Math.min(2 * this.mean, 1);
  }

  /** Pixels whose 8-bit level, ⌊255 · value⌋, is at least t, at index t of 256. */
  get hitsByLevel(): { readonly inside: Float64Array; readonly outside: Float64Array } {
    if (this.cachedLevels !== undefined) return this.cachedLevels;
    const { values, truth } = this;
    const histogram = new Uint32Array(2 * LEVELS);
    for (let i = 0; i < values.length; i++) histogram[truth[i]! * LEVELS + ((values[i]! * 255) | 0)]!++;
    const outside = new Float64Array(LEVELS);
    const inside = new Float64Array(LEVELS);
    let sumOutside = 0;
    let sumInside = 0;
    for (let t = LEVELS - 1; t >= 0; t--) {
      sumOutside += histogram[t]!;
      sumInside += histogram[LEVELS + t]!;
      outside[t] = sumOutside;
      inside[t] = sumInside;
    }
    this.cachedLevels = { inside, outside };
    return this.cachedLevels;
  }

  /** Pixels with a value of at least `threshold`. */
  hitsFrom(threshold: number): Hits {
    const { values, truth } = this;
    let all = 0;
    let inside = 0;
    for (let i = 0; i < values.length; i++) {
      if (values[i]! >= threshold) {
        all++;
        inside += truth[i]!;
      }
    }
    return { inside, outside: all - inside };
  }

  /** Pixels with a value above `threshold`. */
  hitsAbove(threshold: number): Hits {
    const { truth } = this;
    const mask = this.maskAbove(threshold);
    let all = 0;
    let inside = 0;
    for (let i = 0; i < mask.length; i++) {
      all += mask[i]!;
      inside += mask[i]! & truth[i]!;
    }
    return { inside, outside: all - inside };
  }

  /** Pixels with a value above `threshold`: `[height, width]`, 0 or 1. Callers do not write to it. */
  maskAbove(threshold: number): Uint8Array {
    let mask = this.cachedMasks.get(threshold);
    if (mask === undefined) {
      const { values } = this;
      mask = new Uint8Array(values.length);
      for (let i = 0; i < values.length; i++) mask[i] = values[i]! > threshold ? 1 : 0;
      this.cachedMasks.set(threshold, mask);
    }
    return mask;
  }
}

const LEVEL_DOUBLES = Float64Array.from({ length: LEVELS }, (_, k) => k / 255);
const LEVEL_FLOATS = Float32Array.from(LEVEL_DOUBLES);

// The level of which a float is the rounding, otherwise the float itself.
function unrounded(value: number): number {
  const level = (value * 255 + 0.5) | 0;
  return LEVEL_FLOATS[level] === value ? LEVEL_DOUBLES[level]! : value;
}

function widen(data: Float32Array, normalize: boolean): Float64Array {
  let low = 1;
  let high = 0;
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!;
    if (!(value >= 0 && value <= 1)) throw invalidArgument('prediction.data', 'values from 0 to 1', value);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const stretch = normalize && low !== high;
  const offset = stretch ? unrounded(low) : 0;
  const range = stretch ? unrounded(high) - offset : 1;
  const values = new Float64Array(data.length);
  for (let i = 0; i < data.length; i++) values[i] = (unrounded(data[i]!) - offset) / range;
  return values;
}

// The mask itself when it holds zeros and ones, otherwise a copy that does; and how many ones.
function toZerosAndOnes(data: Uint8Array): [mask: Uint8Array, ones: number] {
  let ones = 0;
  let largest = 0;
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!;
    if (value !== 0) ones++;
    if (value > largest) largest = value;
  }
  return [largest > 1 ? data.map((value) => (value === 0 ? 0 : 1)) : data, ones];
}

/** Throws unless `mask` is an image of at least one pixel with as many values as its sides say. */
export function checkMask(
  name: string,
  type: 'Float32Array' | 'Uint8Array',
  mask: { readonly data: Float32Array | Uint8Array; readonly width: number; readonly height: number },
): void {
  if (typeof mask !== 'object' || mask === null) {
    throw invalidArgument(name, 'object {data, width, height}', mask);
  }
  const { data, width, height } = mask;
  if (!isTypedArray(data, type)) throw invalidArgument(`${name}.data`, type, data);
  for (const [side, length] of [
    ['width', width],
    ['height', height],
  ] as const) {
    if (!Number.isSafeInteger(length) || length < 1) {
      throw invalidArgument(`${name}.${side}`, 'positive integer', length);
    }
  }
  if (data.length !== width * height) {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected ${width * height} values (${width} x ${height}) for ${name}.data but received ${data.length}`,
    );
  }
}
