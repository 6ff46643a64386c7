// COCO's average precision and recall of masks, as pycocotools computes them (cocoeval.py).
import { z } from 'zod';
import { invalidArgument, SamError } from '../../errors';
import { parse } from '../../options/validate';
import type { BinaryMask, Instance } from '../types';
import {
  AREA_RANGES,
  type CategoryMatches,
  IOU_THRESHOLDS,
  MAX_DETECTIONS,
  matchCategory,
} from './coco-match';
import { checkMask } from './comparison';
import { EPSILON, type MetricValues } from './metric';

/** One predicted object. */
export interface Detection {
  readonly category: number;
  /** Confidence; only the order matters. */
  readonly score: number;
  readonly mask: BinaryMask;
}

/** One image's annotations and predictions, masks of one size. */
export interface ImageDetections {
  /** Unique in the dataset. Detections with equal scores are ranked by it: numbers by value, strings by code units. */
  readonly image: number | string;
  readonly instances: readonly Instance[];
  readonly detections: readonly Detection[];
}

export interface CocoApOptions {
  /** Whether an object must be found in its category; otherwise all are one. Default true. */
  readonly categories?: boolean;
}

/** One image's matches: what {@link CocoApMetric.state} is a list of. */
interface ImageMatches {
  readonly image: number | string;
  readonly categories: readonly CategoryMatches[];
}

export type CocoApState = readonly ImageMatches[];

const RECALL_THRESHOLDS = Array.from({ length: 101 }, (_, i) => i * 0.01);
RECALL_THRESHOLDS[100] = 1;

const optionsSchema = z.strictObject({ categories: z.boolean().optional() });

const bitsSchema = z
  .int()
  .min(0)
  .max(2 ** (2 * IOU_THRESHOLDS.length) - 1);
const stateSchema = z.array(
  z.object({
    image: z.union([z.number(), z.string()]),
    categories: z.array(
      z.object({
        category: z.number(),
        scores: z.array(z.number()).max(MAX_DETECTIONS[2]),
        outcomes: z.array(z.array(bitsSchema)).length(AREA_RANGES.length),
        objects: z.array(z.int().min(0)).length(AREA_RANGES.length),
      }),
    ),
  }),
);

/**
 * The twelve numbers of COCO's table: `AP` (mean over IoU 0.50:0.05:0.95, 101 points of recall and categories), `AP50`,
 * `AP75`, `APsmall`, `APmedium`, `APlarge` (areas divided at 32² and 96²), `AR1`, `AR10`, `AR100` (recall with so many
 * detections per image and category), `ARsmall`, `ARmedium`, `ARlarge`. -1 where there is nothing to find.
 *
 * Keeps a few numbers per detection and no masks. One deviation from pycocotools: there an object with the id 0 can
 * never count as found; here ids are names only.
 */
export class CocoApMetric {
  private readonly useCategories: boolean;
  private readonly images = new Map<number | string, ImageMatches>();

  constructor(options: CocoApOptions = {}) {
    const { categories = true } = parse(optionsSchema, options, 'options');
    this.useCategories = categories;
  }

  /**
   * Adds an image. One without objects and detections changes nothing.
   *
   * @throws SamError `ERR_INVALID_ARGUMENT` when the image has been added before, masks differ in size, or a score is not
   *   a finite number
   */
  add({ image, instances, detections }: ImageDetections): void {
    this.checkNew(image);
    let first: BinaryMask | undefined;
    for (const [name, list] of [
      ['instances', instances],
      ['detections', detections],
    ] as const) {
      for (const [i, { mask }] of list.entries()) {
        checkMask(`${name}.${i}.mask`, 'Uint8Array', mask);
        first ??= mask;
        if (mask.width !== first.width || mask.height !== first.height) {
          throw new SamError(
            'ERR_INVALID_ARGUMENT',
            `Expected masks of one size (${first.width} x ${first.height}) for ${name}.${i}.mask but received ` +
              `${mask.width} x ${mask.height}`,
          );
        }
      }
    }
    for (const [i, { score }] of detections.entries()) {
      if (!Number.isFinite(score)) throw invalidArgument(`detections.${i}.score`, 'finite number', score);
    }

    const ofCategory = <T extends { category: number }>(items: readonly T[], category: number): T[] =>
      items.filter((item) => item.category === category);
    const categories = [...new Set([...instances, ...detections].map(({ category }) => category))];
    categories.sort((a, b) => a - b);
    const groups = categories.map((category) => ({
      category,
      instances: ofCategory(instances, category),
      detections: ofCategory(detections, category),
    }));
    const merged = {
      category: -1,
      instances: groups.flatMap((group) => group.instances),
      detections: groups.flatMap((group) => group.detections),
    };
    this.images.set(image, {
      image,
      categories: (this.useCategories ? groups : [merged]).map(matchCategory),
    });
  }

  /** The twelve numbers of the dataset so far. */
  result(): MetricValues {
    const tables = this.tables();
    const all = AREA_RANGES.findIndex(({ name }) => name === 'all');
    const area = (name: string): number => AREA_RANGES.findIndex((range) => range.name === name);
    const precision = (a: number, thresholds = IOU_THRESHOLDS): number =>
      meanOf(
        tables
          .filter((table) => table.area === a && table.maximum === MAX_DETECTIONS[2])
          .flatMap((table) => thresholds.flatMap((t) => table.precision[IOU_THRESHOLDS.indexOf(t)]!)),
      );
    const recall = (a: number, maximum: number): number =>
      meanOf(
        tables
          .filter((table) => table.area === a && table.maximum === maximum)
          .flatMap((table) => table.recall),
      );
    return {
      AP: precision(all),
      AP50: precision(all, [0.5]),
      AP75: precision(all, [0.75]),
      APsmall: precision(area('small')),
      APmedium: precision(area('medium')),
      APlarge: precision(area('large')),
      AR1: recall(all, MAX_DETECTIONS[0]),
      AR10: recall(all, MAX_DETECTIONS[1]),
      AR100: recall(all, MAX_DETECTIONS[2]),
      ARsmall: recall(area('small'), MAX_DETECTIONS[2]),
      ARmedium: recall(area('medium'), MAX_DETECTIONS[2]),
      ARlarge: recall(area('large'), MAX_DETECTIONS[2]),
    };
  }

  /** Everything that {@link restore} and {@link merge} need; survives JSON unchanged. */
  state(): CocoApState {
    return this.sorted();
  }

  /**
   * Forgets all images and goes on from `state`.
   *
   * @throws SamError `ERR_INVALID_ARGUMENT` when it is not a state
   */
  restore(state: unknown): void {
    const images = parseState(state);
    this.images.clear();
    for (const entry of images) this.images.set(entry.image, entry);
  }

  /**
   * Adds the images of another metric with the same options, given its state.
   *
   * @throws SamError `ERR_INVALID_ARGUMENT` when it is not a state or has an image in common with this one
   */
  merge(state: unknown): void {
    const images = parseState(state);
    for (const { image } of images) this.checkNew(image);
    for (const entry of images) this.images.set(entry.image, entry);
  }

  private checkNew(image: number | string): void {
    if (typeof image !== 'string' && !Number.isFinite(image)) {
      throw invalidArgument('image', 'finite number or string', image);
    }
    if (this.images.has(image)) throw invalidArgument('image', 'image that was not added before', image);
  }

  private sorted(): ImageMatches[] {
    return [...this.images.values()].sort((a, b) => compareImages(a.image, b.image));
  }

  // Precision and recall by category, range of areas and number of detections.
  private tables(): Table[] {
    const byCategory = new Map<number, CategoryMatches[]>();
    for (const { categories } of this.sorted()) {
      for (const matches of categories) {
        const list = byCategory.get(matches.category);
        if (list === undefined) byCategory.set(matches.category, [matches]);
        else list.push(matches);
      }
    }
    const tables: Table[] = [];
    for (const [, images] of [...byCategory].sort(([a], [b]) => a - b)) {
      for (const area of AREA_RANGES.keys()) {
        for (const maximum of MAX_DETECTIONS) {
          const objects = images.reduce((sum, matches) => sum + matches.objects[area]!, 0);
          if (objects > 0) tables.push(accumulate(images, area, maximum, objects));
        }
      }
    }
    return tables;
  }
}

interface Table {
  readonly area: number;
  readonly maximum: number;
  /** By threshold of IoU and threshold of recall. */
  readonly precision: readonly (readonly number[])[];
  /** By threshold of IoU. */
  readonly recall: readonly number[];
}

function accumulate(
  images: readonly CategoryMatches[],
  area: number,
  maximum: number,
  objects: number,
): Table {
  const ranked = images.flatMap(({ scores, outcomes }) =>
    scores.slice(0, maximum).map((score, i) => ({ score, outcome: outcomes[area]![i]! })),
  );
  ranked.sort((a, b) => b.score - a.score); // stable: equal scores stay in the order of images

  const precision: number[][] = [];
  const recall: number[] = [];
  for (const t of IOU_THRESHOLDS.keys()) {
    const matchedBit = 1 << t;
    const ignoredBit = 1 << (t + IOU_THRESHOLDS.length);
    let found = 0;
    let wrong = 0;
    const recalls: number[] = [];
    const precisions: number[] = [];
    for (const { outcome } of ranked) {
      if ((outcome & ignoredBit) === 0) {
        if ((outcome & matchedBit) !== 0) found++;
        else wrong++;
      }
      recalls.push(found / objects);
      precisions.push(found / (found + wrong + EPSILON));
    }
    // Precision at a recall is the best at that recall or beyond.
    for (let i = precisions.length - 1; i > 0; i--) {
      precisions[i - 1] = Math.max(precisions[i - 1]!, precisions[i]!);
    }
    let at = 0;
    precision.push(
      RECALL_THRESHOLDS.map((threshold) => {
        while (at < recalls.length && recalls[at]! < threshold) at++;
        return precisions[at] ?? 0;
      }),
    );
    recall.push(recalls[recalls.length - 1] ?? 0);
  }
  return { area, maximum, precision, recall };
}

function meanOf(values: readonly number[]): number {
  return values.length === 0 ? -1 : values.reduce((a, b) => a + b) / values.length;
}

function compareImages(a: number | string, b: number | string): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

function parseState(state: unknown): CocoApState {
  const images: CocoApState = parse(stateSchema, state, 'state');
  const seen = new Set<number | string>();
  for (const { image, categories } of images) {
    if (seen.has(image)) throw invalidArgument('state', 'every image once', image);
    seen.add(image);
    for (const { scores, outcomes } of categories) {
      if (outcomes.some((list) => list.length !== scores.length)) {
        throw invalidArgument('state', `${scores.length} outcomes for ${scores.length} scores`, outcomes);
      }
    }
  }
  return images;
}
