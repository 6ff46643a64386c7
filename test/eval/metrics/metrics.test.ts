// Metrics by hand: small masks, degenerate ones, broken ones; and totals that are saved, restored and merged.
import { describe, expect, test } from 'vitest';
import {
  CocoApMetric,
  createMetrics,
  type Detection,
  EMeasureMetric,
  FMeasureMetric,
  HceMetric,
  IouMetric,
  MaeMetric,
  SMeasureMetric,
  WeightedFMeasureMetric,
} from '../../../lib/eval/metrics';
import { Comparison } from '../../../lib/eval/metrics/comparison';
import { ExactSum } from '../../../lib/eval/metrics/exact-sum';
import { countControlPoints } from '../../../lib/eval/metrics/polyline';
import { roundHalfEven } from '../../../lib/eval/metrics/s-measure';
import type { BinaryMask, Instance, SoftMask } from '../../../lib/eval/types';
import { METRIC_NAMES, type MetricName } from '../../../lib/options/evaluate';
import { expectThrownSamError } from '../../image/helpers';
import { disc, drawCoco, drawLevels, drawMask, toSoft } from './draw';

const soft = (width: number, ...values: number[]): SoftMask => ({
  data: Float32Array.from(values),
  width,
  height: values.length / width,
});
const hard = (width: number, ...values: number[]): BinaryMask => ({
  data: Uint8Array.from(values),
  width,
  height: values.length / width,
});

describe('by hand', () => {
  test('MAE, with and without stretching', () => {
    const prediction = soft(2, 0.25, 0.5, 0.75, 0.25);
    const truth = hard(2, 0, 0, 1, 1);
    expect(new MaeMetric({ normalize: false }).add(prediction, truth).mae).toBe(
      (0.25 + 0.5 + 0.25 + 0.75) / 4,
    );
    expect(new MaeMetric().add(prediction, truth).mae).toBe((0 + 0.5 + 0 + 1) / 4);
  });

  test('IoU and Dice', () => {
    const metrics = createMetrics(['iou', 'dice'], { threshold: 0.6 });
    // Two of three predicted pixels lie inside, one of three is missed; 0.6 itself is not above the threshold.
    const values = metrics.add(soft(3, 1, 0.7, 0.9, 0.6, 0, 0), hard(3, 1, 1, 0, 1, 0, 0));
    expect(values).toEqual({ iou: 2 / 4, dice: 4 / 6 });
  });

  test('F at the adaptive threshold', () => {
    // The mean is 0.375, so the threshold 0.75: two predicted, one of them right, one of two found.
    const { adaptiveF } = new FMeasureMetric().add(
      soft(2, 1, 0.5, 0, 1, 0.25, 0, 0, 0.25),
      hard(2, 1, 1, 0, 0, 0, 0, 0, 0),
    );
    expect(adaptiveF).toBeCloseTo((1.3 * 0.5 * 0.5) / (0.3 * 0.5 + 0.5), 12);
  });

  test('weighted F of a wrong pixel far from the object', () => {
    const width = 40;
    const values = new Array<number>(width).fill(0);
    const truth = values.map((_, x) => (x < 8 ? 1 : 0));
    const prediction = truth.map((value, x) => (x === 17 ? 1 : value));
    // One false pixel, 10 from the object: it weighs 2 - 2^(-10 / 5).
    const precision = 8 / (8 + 1.75);
    expect(
      new WeightedFMeasureMetric().add(soft(width, ...prediction), hard(width, ...truth)).weightedF,
    ).toBeCloseTo((2 * precision) / (1 + precision), 12);
  });

  test('HCE: a region in the wrong place is one click, a thin seam is free', () => {
    const truth = disc(80, 60, 20, 30, 12);
    const other = disc(80, 60, 60, 30, 12);
    const both = soft(80, ...truth.data.map((value, i) => value | other.data[i]!));
    expect(new HceMetric().add(both, truth).hce).toBe(1);
    expect(new HceMetric().add(soft(80, ...disc(80, 60, 20, 30, 14).data), truth).hce).toBe(0);
    // A line of the truth that is missed altogether costs a click, however thin it is.
    const line = drawMask('empty', 80, 60, 0);
    line.data.fill(1, 50 * 80 + 10, 50 * 80 + 70);
    const truthWithLine = hard(80, ...truth.data.map((value, i) => value | line.data[i]!));
    expect(new HceMetric().add(soft(80, ...truth.data), truthWithLine).hce).toBeGreaterThanOrEqual(1);
  });
});

describe('degenerate', () => {
  const size = 12 * 9;
  const constant = (value: number): SoftMask => soft(12, ...new Array<number>(size).fill(value));
  const empty = drawMask('empty', 12, 9, 0);
  const full = drawMask('full', 12, 9, 0);

  test('both empty', () => {
    const values = createMetrics(METRIC_NAMES).add(constant(0), empty);
    expect(values).toMatchObject({
      mae: 0,
      maxF: 0,
      weightedF: 0,
      sMeasure: 1,
      hce: 0,
      iou: 0,
      dice: 0,
      boundaryIou: 0,
    });
    expect(values.maxE).toBeCloseTo(size / (size - 1), 12);
  });

  test('both full', () => {
    const values = createMetrics(METRIC_NAMES).add(constant(1), full);
    expect(values).toMatchObject({ mae: 0, maxF: 1, sMeasure: 1, hce: 0, iou: 1, dice: 1, boundaryIou: 1 });
    expect(values.weightedF).toBeCloseTo(1, 12);
  });

  test('flat predictions are not stretched', () => {
    expect(new MaeMetric().add(constant(0.25), empty).mae).toBe(0.25);
    expect(new IouMetric().add(constant(0.25), full).iou).toBe(0);
    expect(new SMeasureMetric().add(constant(0.25), full).sMeasure).toBe(0.25);
  });

  test('an object in the last column: empty quadrants weigh nothing', () => {
    const truth = hard(4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1);
    expect(new SMeasureMetric().add(soft(4, ...truth.data), truth).sMeasure).toBeCloseTo(1, 12);
  });

  test('one pixel', () => {
    for (const truth of [0, 1]) {
      for (const value of [0, 0.4, 1]) {
        const values = createMetrics(METRIC_NAMES).add(soft(1, value), hard(1, truth));
        for (const [key, number] of Object.entries(values)) expect(number, key).toSatisfy(Number.isFinite);
      }
    }
  });

  test('any value but 0 is inside the truth', () => {
    const values = (one: number) =>
      createMetrics(METRIC_NAMES).add(soft(2, 1, 0.2, 0.7, 0), hard(2, one, 0, one, one));
    expect(values(255)).toEqual(values(1));
  });
});

test('a float that stands for an 8-bit level is on that level', () => {
  const levels = Array.from({ length: 256 }, (_, k) => k);
  const pair = new Comparison(soft(16, ...levels.map((k) => k / 255)), drawMask('full', 16, 16, 0), false);
  expect([...pair.hitsByLevel.inside]).toEqual(levels.map((k) => 256 - k));
});

describe('totals', () => {
  const pairs = ['soft', 'noisy', 'flat', 'fine', 'dim', 'plateaus', 'other'].map((prediction, i) => {
    const truth = drawMask(['blobs', 'thin', 'ring'][i % 3]!, 50, 40, i);
    const { levels, top } = drawLevels(prediction, truth, i);
    return [toSoft(levels, top, truth), truth] as const;
  });
  const through = (average: 'image' | 'dataset') => {
    const metrics = createMetrics(METRIC_NAMES, { average });
    for (const pair of pairs) metrics.add(...pair);
    return metrics;
  };

  for (const average of ['image', 'dataset'] as const) {
    test(`saved, restored, merged, in any order: the same bits (${average})`, () => {
      const expected = through(average).result();
      for (const value of Object.values(expected)) expect(value).toSatisfy(Number.isFinite);

      const first = createMetrics(METRIC_NAMES, { average });
      for (const pair of pairs.slice(0, 3)) first.add(...pair);
      const resumed = createMetrics(METRIC_NAMES, { average });
      resumed.add(...pairs[6]!); // forgotten
      resumed.restore(JSON.parse(JSON.stringify(first.state())));
      for (const pair of pairs.slice(3)) resumed.add(...pair);
      expect(resumed.result()).toEqual(expected);

      const backwards = createMetrics(METRIC_NAMES, { average });
      for (const pair of pairs.slice(3).reverse()) backwards.add(...pair);
      backwards.merge(JSON.parse(JSON.stringify(first.state())));
      expect(backwards.result()).toEqual(expected);
    });
  }

  test('curves are averaged before the largest is taken', () => {
    const metric = new FMeasureMetric();
    const best = pairs.map((pair) => metric.add(...pair).maxF!);
    expect(metric.result().maxF).toBeLessThan(best.reduce((a, b) => a + b) / best.length);
  });

  test('no images', () => {
    expect(new EMeasureMetric().result()).toEqual({ maxE: NaN, meanE: NaN, adaptiveE: NaN });
  });

  test('a broken state changes nothing', () => {
    const metrics = through('image');
    const before = metrics.result();
    const good = JSON.parse(JSON.stringify(metrics.state()));
    const { mae: _, ...less } = good;
    for (const broken of [
      null,
      7,
      [],
      less,
      { ...good, mae: { count: -1, sums: { mae: [[1]] } } },
      { ...good, mae: { count: 1, sums: { mae: [['1']] } } },
      { ...good, mae: { count: 1, sums: { mae: [[Number.POSITIVE_INFINITY]] } } },
      { ...good, 'e-measure': good['f-measure'] },
      { ...good, 'f-measure': { count: 1, sums: { adaptiveF: [[1]], f: [[1]] } } },
    ]) {
      expectThrownSamError(() => metrics.restore(broken), 'ERR_INVALID_ARGUMENT', 'state');
      expectThrownSamError(() => metrics.merge(broken), 'ERR_INVALID_ARGUMENT', 'state');
      expect(metrics.result()).toEqual(before);
    }
  });
});

test('corners of curves, as OpenCV 5 and 4.12 count them', () => {
  const count = (distanceTo: 'line' | 'segment', ...points: [x: number, y: number][]) =>
    countControlPoints(
      points.map(([x, y]) => y * 30 + x),
      30,
      2,
      distanceTo,
    );
  // The middle point is nearly on the way from one neighbour to the other, which share a row.
  const flat: [number, number][] = [
    [8, 9],
    [11, 1],
    [8, 0],
    [3, 1],
    [0, 8],
  ];
  expect([count('segment', ...flat), count('line', ...flat)]).toEqual([5, 5]);
  // Beyond the segment's end, but close to its line extended.
  const back: [number, number][] = [
    [9, 10],
    [8, 6],
    [9, 3],
    [10, 7],
  ];
  expect([count('segment', ...back), count('line', ...back)]).toEqual([3, 4]);
  expect([count('segment', [3, 3]), count('segment', [3, 3], [4, 3])]).toEqual([1, 2]);
});

test('halves go to the even integer', () => {
  expect([0.5, 1.5, 2.5, 2.4999, 3.5, 7.2, 7.8].map(roundHalfEven)).toEqual([0, 2, 2, 2, 4, 7, 8]);
});

test('exact sums', () => {
  const sum = (...terms: number[]) => {
    const exact = new ExactSum();
    for (const term of terms) exact.add(term);
    return exact.value();
  };
  expect(sum()).toBe(0);
  expect(sum(1e100, 1, -1e100)).toBe(1);
  expect(sum(...new Array<number>(10).fill(0.1))).toBe(1);
  // Halfway between two doubles, and just above that.
  expect(sum(1, 2 ** -53)).toBe(1);
  expect(sum(1, 2 ** -53, 2 ** -106)).toBe(1 + 2 ** -52);
  expect(sum(2 ** -106, 1, 2 ** -53)).toBe(1 + 2 ** -52);
});

describe('refusals', () => {
  const truth = drawMask('blobs', 10, 8, 1);
  const fine = soft(10, ...truth.data);
  const refuse = (prediction: unknown, mask: unknown, text: string) =>
    expectThrownSamError(
      () => new MaeMetric().add(prediction as SoftMask, mask as BinaryMask),
      'ERR_INVALID_ARGUMENT',
      text,
    );

  test('pairs', () => {
    refuse(fine, drawMask('blobs', 8, 10, 1), 'size of truth (8 x 10) for prediction but received 10 x 8');
    refuse(
      soft(10, ...truth.data.map((v) => 2 * v)),
      truth,
      'values from 0 to 1 for prediction.data but received 2',
    );
    refuse({ ...fine, data: fine.data.map(() => Number.NaN) }, truth, 'received NaN');
    refuse({ ...fine, data: truth.data }, truth, 'Float32Array for prediction.data');
    refuse({ ...fine, width: 11 }, truth, '88 values (11 x 8) for prediction.data but received 80');
    refuse(fine, { ...truth, height: 0 }, 'positive integer for truth.height');
    refuse(fine, undefined, 'object {data, width, height} for truth');
  });

  test('names and options', () => {
    const create = (names: unknown, options?: object) => () => createMetrics(names as MetricName[], options);
    expectThrownSamError(
      create(['mae', 'auc']),
      'ERR_INVALID_ARGUMENT',
      'one of: mae, ',
      ' for names.1 but received "auc"',
    );
    expectThrownSamError(create([]), 'ERR_INVALID_ARGUMENT', 'names');
    expectThrownSamError(create(['mae'], { threshold: 2 }), 'ERR_INVALID_ARGUMENT', 'options.threshold');
    expectThrownSamError(create(['mae'], { treshold: 0.5 }), 'ERR_INVALID_ARGUMENT', 'treshold');
  });
});

describe('COCO', () => {
  const instance = (mask: BinaryMask, more: Partial<Instance> = {}): Instance => ({
    id: 1,
    category: 1,
    crowd: false,
    area: mask.data.reduce((a, b) => a + b),
    box: [0, 0, 1, 1],
    mask,
    ...more,
  });
  const detection = (mask: BinaryMask, score = 0.5, category = 1): Detection => ({ mask, score, category });
  const round = disc(60, 50, 20, 20, 15);
  const elsewhere = disc(60, 50, 48, 38, 8);

  test('all found, nothing found, nothing to find', () => {
    const found = new CocoApMetric();
    found.add({ image: 'a', instances: [instance(round)], detections: [detection(round)] });
    expect(found.result()).toMatchObject({
      AP: expect.closeTo(1, 12),
      AP50: expect.closeTo(1, 12),
      AR1: 1,
      APsmall: expect.closeTo(1, 12),
      APlarge: -1,
    });

    const missed = new CocoApMetric();
    missed.add({ image: 'a', instances: [instance(round)], detections: [detection(elsewhere)] });
    missed.add({ image: 'b', instances: [instance(round)], detections: [] });
    expect(missed.result()).toMatchObject({ AP: 0, AR100: 0, ARsmall: 0, ARlarge: -1 });

    const nothing = new CocoApMetric();
    nothing.add({ image: 'a', instances: [], detections: [detection(elsewhere)] });
    expect(new Set(Object.values(nothing.result()))).toEqual(new Set([-1]));
  });

  test('a false detection ahead halves the precision; within a crowd it does not count', () => {
    const score = (crowd: boolean) => {
      const metric = new CocoApMetric();
      const instances = [instance(round), instance(elsewhere, { id: 2, crowd, category: crowd ? 1 : 2 })];
      metric.add({ image: 1, instances, detections: [detection(round, 0.4), detection(elsewhere, 0.9)] });
      return metric.result().AR100! > 0.9 ? metric.result().AP : undefined;
    };
    expect(score(true)).toBeCloseTo(1, 12);
    const metric = new CocoApMetric();
    metric.add({
      image: 1,
      instances: [instance(round)],
      detections: [detection(round, 0.4), detection(elsewhere, 0.9)],
    });
    expect(metric.result().AP).toBeCloseTo(0.5, 12);
  });

  test('an object that counts is preferred to a crowd that covers more', () => {
    const metric = new CocoApMetric();
    const crowd = instance(drawMask('full', 60, 50, 0), { id: 2, crowd: true });
    const smaller = disc(60, 50, 20, 20, 14);
    metric.add({ image: 1, instances: [crowd, instance(round)], detections: [detection(smaller)] });
    expect(metric.result().AP50).toBeCloseTo(1, 12);
  });

  test('categories count unless told otherwise', () => {
    const score = (categories: boolean) => {
      const metric = new CocoApMetric({ categories });
      metric.add({ image: 1, instances: [instance(round)], detections: [detection(round, 0.5, 2)] });
      return metric.result().AP;
    };
    expect(score(true)).toBe(0);
    expect(score(false)).toBeCloseTo(1, 12);
  });

  test('saved, restored, merged: the same bits', () => {
    const images = drawCoco(12, 4);
    const whole = new CocoApMetric();
    for (const image of images) whole.add(image);
    const [even, odd] = [new CocoApMetric(), new CocoApMetric()];
    for (const [i, image] of images.entries()) (i % 2 === 0 ? even : odd).add(image);
    const resumed = new CocoApMetric();
    resumed.add(images[5]!); // forgotten
    resumed.restore(JSON.parse(JSON.stringify(odd.state())));
    resumed.merge(JSON.parse(JSON.stringify(even.state())));
    expect(resumed.result()).toEqual(whole.result());
    expect(resumed.state()).toEqual(whole.state());
    expect(JSON.stringify(whole.state()).length).toBeLessThan(60_000);
  });

  test('refusals', () => {
    const metric = new CocoApMetric();
    const good = { image: 1, instances: [instance(round)], detections: [detection(round)] };
    metric.add(good);
    const refuse = (call: () => void, text: string) =>
      expectThrownSamError(call, 'ERR_INVALID_ARGUMENT', text);
    refuse(() => metric.add(good), 'not added before for image but received 1');
    refuse(() => metric.merge(metric.state()), 'not added before');
    refuse(() => metric.add({ ...good, image: Number.NaN }), 'finite number or string for image');
    refuse(
      () => metric.add({ ...good, image: 2, detections: [detection(disc(50, 60, 9, 9, 5))] }),
      'one size (60 x 50) for detections.0.mask but received 50 x 60',
    );
    refuse(
      () => metric.add({ ...good, image: 2, detections: [detection(round, Number.NaN)] }),
      'finite number for detections.0.score',
    );
    const [state] = JSON.parse(JSON.stringify(metric.state()));
    for (const broken of [
      {},
      [1],
      [state, state],
      [{ ...state, categories: [{ ...state.categories[0], scores: [] }] }],
    ]) {
      refuse(() => metric.restore(broken), 'state');
    }
    expect(metric.result().AP).toBeCloseTo(1, 12);
  });
});
