// Metrics, and the algorithms they are built of, against the reference implementations: numbers that
// test/reference/make_metrics.py wrote of the masks that draw.ts draws.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  CocoApMetric,
  createMetrics,
  FMeasureMetric,
  METRIC_KEYS,
  type MetricValues,
} from '../../../lib/eval/metrics';
import { boundary } from '../../../lib/eval/metrics/boundary-iou';
import { findContours } from '../../../lib/eval/metrics/contours';
import { nearestInside } from '../../../lib/eval/metrics/feature-transform';
import { dilateCross, erodeCross } from '../../../lib/eval/metrics/morphology';
import { countControlPoints } from '../../../lib/eval/metrics/polyline';
import { skeletonize } from '../../../lib/eval/metrics/skeleton';
import type { BinaryMask, SoftMask } from '../../../lib/eval/types';
import { METRIC_NAMES } from '../../../lib/options/evaluate';
import { drawCoco, drawLevels, drawMask, flatNonzero, hashed, toSoft } from './draw';

interface PairCase {
  mask: string;
  prediction: string;
  width: number;
  height: number;
  seed: number;
  normalize: boolean;
  drawn: number;
  inDataset?: boolean;
  values: Record<string, number>;
}
interface MaskCase extends Record<string, number | string> {
  mask: string;
  width: number;
  height: number;
  seed: number;
}
interface CocoCase {
  images: number;
  seed: number;
  categories: boolean;
  values: Record<string, number>;
}
const expected: {
  pairs: PairCase[];
  dataset: Record<string, number>;
  datasetAveraged: Record<string, number>;
  masks: MaskCase[];
  coco: CocoCase[];
} = JSON.parse(
  readFileSync(
    process.env.BA_SAM_METRICS_FIXTURE ?? new URL('../fixtures/metrics.expected.json', import.meta.url),
    'utf8',
  ),
);

const TOLERANCE = 1e-6;

function draw(c: PairCase) {
  const truth = drawMask(c.mask, c.width, c.height, c.seed);
  const { levels, top } = drawLevels(c.prediction, truth, c.seed);
  return { truth, levels, prediction: toSoft(levels, top, truth) };
}

// Everything at once, and HCE in its other variant.
function allMetrics(normalize: boolean) {
  const metrics = createMetrics(METRIC_NAMES, { normalize });
  const segments = createMetrics(['hce'], { normalize, distanceTo: 'segment' });
  return {
    add: (prediction: SoftMask, truth: BinaryMask): MetricValues => ({
      ...metrics.add(prediction, truth),
      hceToSegments: segments.add(prediction, truth).hce!,
    }),
    result: (): MetricValues => ({ ...metrics.result(), hceToSegments: segments.result().hce! }),
  };
}

function expectClose(actual: MetricValues, values: Record<string, number>, what: string): void {
  for (const [key, value] of Object.entries(values)) {
    const error = Math.abs(actual[key]! - value);
    const within = error <= TOLERANCE * Math.max(1, Math.abs(value));
    expect(within, `${key} of ${what}: ${actual[key]} instead of ${value}`).toBe(true);
  }
}

describe('pairs against PySODMetrics and boundary IoU', () => {
  for (const mask of new Set(expected.pairs.map((c) => c.mask))) {
    test(mask, () => {
      for (const c of expected.pairs.filter((other) => other.mask === mask)) {
        const { truth, levels, prediction } = draw(c);
        expect(hashed(levels.map((level, i) => 2 * level + truth.data[i]!))).toBe(c.drawn);
        const metrics = allMetrics(c.normalize);
        const name = `${c.prediction} for ${c.mask} ${c.seed}, ${c.width} x ${c.height}`;
        const values = metrics.add(prediction, truth);
        expect(Object.keys(values)).toEqual([...Object.keys(METRIC_KEYS), 'hceToSegments']);
        expectClose(values, c.values, name);
        expectClose(metrics.result(), c.values, name);
      }
    });
  }
});

describe('a dataset', () => {
  const cases = expected.pairs.filter((c) => c.inDataset === true);
  test('means and averaged curves against PySODMetrics', () => {
    const metrics = allMetrics(true);
    for (const c of cases) {
      const { prediction, truth } = draw(c);
      metrics.add(prediction, truth);
    }
    expectClose(metrics.result(), expected.dataset, 'the dataset');
  });

  test("averaged precision and recall as in IS-Net's validation", () => {
    const metric = new FMeasureMetric({ average: 'dataset' });
    for (const c of cases) {
      const { prediction, truth } = draw(c);
      metric.add(prediction, truth);
    }
    expectClose(metric.result(), expected.datasetAveraged, 'the dataset');
    expect(expected.datasetAveraged.maxF).not.toBeCloseTo(expected.dataset.maxF!, 3);
  });
});

describe('algorithms against skimage, OpenCV and scipy', () => {
  const masks = expected.masks.map((c) => ({ c, mask: drawMask(c.mask, c.width, c.height, c.seed) }));
  const compare = (key: string, numbers: (mask: BinaryMask) => Iterable<number>): void => {
    test(key, () => {
      for (const { c, mask } of masks) {
        if (c[key] === undefined) continue; // nothing is nearest in an empty mask
        expect(hashed(numbers(mask)), `${c.mask} ${c.seed}, ${c.width} x ${c.height}`).toBe(c[key]);
      }
    });
  };

  compare('skeleton', ({ data, width, height }) => flatNonzero(skeletonize(data, width, height)));
  compare('borders', ({ data, width, height }) =>
    findContours(data, width, height).flatMap((pixels) => [pixels.length, ...pixels]),
  );
  compare('corners', ({ data, width, height }) => {
    const seen = new Set<number>();
    const corners: number[] = [];
    for (const pixels of findContours(data, width, height)) {
      const fresh = [...new Set(pixels)].filter((pixel) => !seen.has(pixel));
      for (const pixel of fresh) seen.add(pixel);
      if (fresh.length === 0) continue;
      for (const distanceTo of ['line', 'segment'] as const) {
        for (const epsilon of [0.7, 2, 5])
          corners.push(countControlPoints(fresh, width, epsilon, distanceTo));
      }
    }
    return corners;
  });
  compare('boundary', (mask) => flatNonzero(boundary(mask, 0.02)));
  compare('eroded', (mask) => flatNonzero(erodeCross(mask, 3)));
  compare('dilated', (mask) => flatNonzero(dilateCross(mask, 3)));
  compare('nearest', ({ data, width, height }) => nearestInside(data, width, height));
});

describe('COCO against pycocotools', () => {
  for (const { images, seed, categories, values } of expected.coco) {
    test(`${images} images, seed ${seed}, ${categories ? 'with' : 'without'} categories`, () => {
      const metric = new CocoApMetric({ categories });
      // Ranking does not depend on the order in which images come.
      for (const image of drawCoco(images, seed).reverse()) metric.add(image);
      expectClose(metric.result(), values, 'the dataset');
    });
  }
});
