// The records of COCO's instances_*.json, checked by hand: there are up to a million, and none of them is trusted.
import { invalidArgument, SamError } from '../../errors';
import { fillRuns, maskArea, maskBox, parseCounts } from '../../image/rle';
import type { BinaryMask, Instance } from '../types';
import { staysInside } from './files';
import { fillPolygon, outlineSteps } from './polygons';

// Far beyond what an image can have, near enough that sums stay exact and loops end.
const MAX_COORDINATE = 1e6;
/** Steps of drawing one annotation, about five per px of its outline: below half a second. */
const MAX_STEPS = 2 ** 24;
const MAX_SIDE = 65_535;
/** As many as `decodeImage` takes. */
const MAX_PIXELS = 0x3fff ** 2;

/** An image of the file. */
export interface CocoImage {
  readonly id: number;
  /** Below the image folder. */
  readonly fileName: string;
  readonly width: number;
  readonly height: number;
}

/** Polygons of x, y, x, y, … in px, or run lengths down the columns, outside first. */
export type Segmentation =
  | { readonly polygons: readonly (readonly number[])[] }
  | { readonly runs: readonly number[] };

/** An annotation of an image that is known. */
export interface CocoAnnotation {
  readonly id: number;
  readonly category: number;
  readonly crowd: boolean;
  readonly area: number | undefined;
  readonly box: readonly [number, number, number, number] | undefined;
  readonly segmentation: Segmentation;
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws SamError ERR_INVALID_ARGUMENT unless the value is an object */
export function fields(value: unknown, name: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw invalidArgument(name, 'object', value);
}

/** @throws SamError ERR_INVALID_ARGUMENT unless the value is an integer that is represented exactly */
export function integer(value: unknown, name: string): number {
  if (Number.isSafeInteger(value)) return value as number;
  throw invalidArgument(name, 'integer', value);
}

/**
 * An id: an integer, or its digits as text.
 *
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function identifier(value: unknown, name: string): number {
  const isDigits = typeof value === 'string' && /^-?\d+$/.test(value);
  const id = isDigits ? Number(value) : value;
  if (Number.isSafeInteger(id)) return id as number;
  throw invalidArgument(name, 'integer', value);
}

/** @throws SamError ERR_INVALID_ARGUMENT */
export function readImage(record: Fields): CocoImage {
  const { file_name: fileName, width, height } = record;
  if (typeof fileName !== 'string' || !staysInside(fileName)) {
    throw invalidArgument('file_name', 'path below the image folder', fileName);
  }
  for (const [name, side] of [
    ['width', width],
    ['height', height],
  ] as const) {
    if (!(integer(side, name) >= 1 && (side as number) <= MAX_SIDE)) {
      throw invalidArgument(name, `integer between 1 and ${MAX_SIDE}`, side);
    }
  }
  const size = { width: width as number, height: height as number };
  if (size.width * size.height > MAX_PIXELS) {
    throw invalidArgument('width · height', `at most ${MAX_PIXELS} pixels`, size.width * size.height);
  }
  return { id: identifier(record.id, 'id'), fileName, ...size };
}

/**
 * Reads an annotation of an image of this size.
 *
 * `iscrowd`, `area` and `bbox` may be missing or null, as in files that other tools write: no crowd, and the mask's own.
 *
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function readAnnotation(record: Fields, width: number, height: number): CocoAnnotation {
  const [iscrowd, area, bbox] = [
    record.iscrowd ?? undefined,
    record.area ?? undefined,
    record.bbox ?? undefined,
  ];
  if (iscrowd !== undefined && ![0, 1, true, false].includes(iscrowd as number)) {
    throw invalidArgument('iscrowd', '0 or 1', iscrowd);
  }
  if (area !== undefined && !(finite(area, 'area') >= 0)) {
    throw invalidArgument('area', 'number of at least 0', area);
  }
  return {
    id: identifier(record.id, 'id'),
    category: identifier(record.category_id, 'category_id'),
    crowd: iscrowd === 1 || iscrowd === true,
    area: area as number | undefined,
    box: bbox === undefined ? undefined : readBox(bbox),
    segmentation: readSegmentation(record.segmentation, width, height),
  };
}

function readBox(value: unknown): readonly [number, number, number, number] {
  if (!Array.isArray(value) || value.length !== 4)
    throw invalidArgument('bbox', '[x, y, width, height]', value);
  const box = value.map((item, i) => coordinate(item, `bbox[${i}]`)) as [number, number, number, number];
  if (!(box[2] >= 0 && box[3] >= 0)) throw invalidArgument('bbox', 'width and height of at least 0', value);
  return box;
}

function readSegmentation(value: unknown, width: number, height: number): Segmentation {
  if (Array.isArray(value)) return { polygons: readPolygons(value) };
  if (typeof value !== 'object' || value === null) {
    throw invalidArgument('segmentation', 'list of polygons or {size, counts}', value);
  }
  const { size, counts } = value as Fields;
  if (!Array.isArray(size) || size.length !== 2 || size[0] !== height || size[1] !== width) {
    throw invalidArgument('segmentation.size', `[${height}, ${width}], the image's [height, width],`, size);
  }
  if (typeof counts === 'string') return { runs: parseCounts(counts, width * height) };
  if (Array.isArray(counts)) return { runs: readRuns(counts, width * height) };
  throw invalidArgument('segmentation.counts', 'string or list of run lengths', counts);
}

function readPolygons(polygons: readonly unknown[]): readonly (readonly number[])[] {
  if (polygons.length === 0) throw invalidArgument('segmentation', 'at least one polygon', polygons);
  let steps = 0;
  for (const [p, polygon] of polygons.entries()) {
    // Two points are no polygon: pycocotools takes four numbers for a box, which COCO never means.
    if (!Array.isArray(polygon) || polygon.length < 6 || polygon.length % 2 !== 0) {
      throw invalidArgument(`segmentation[${p}]`, 'x and y of at least 3 points', polygon);
    }
    for (let i = 0; i < polygon.length; i++) {
      // The name only when it is needed: it would take most of the time.
      if (!(Math.abs(polygon[i]) <= MAX_COORDINATE && typeof polygon[i] === 'number')) {
        coordinate(polygon[i], `segmentation[${p}][${i}]`);
      }
    }
    steps += outlineSteps(polygon);
  }
  if (!(steps <= MAX_STEPS)) {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected outlines of at most ${Math.floor(MAX_STEPS / 5)} px for segmentation`,
    );
  }
  return polygons as number[][];
}

function readRuns(counts: readonly unknown[], total: number): readonly number[] {
  let sum = 0;
  for (const [i, run] of counts.entries()) {
    if (!Number.isSafeInteger(run) || !((run as number) >= 0)) {
      throw invalidArgument(`segmentation.counts[${i}]`, 'integer of at least 0', run);
    }
    sum += run as number;
    if (!(sum <= total)) break;
  }
  if (sum === total) return counts as number[];
  throw new SamError(
    'ERR_INVALID_ARGUMENT',
    `Expected runs with the sum ${total} (height · width) for segmentation.counts but received ` +
      (sum > total ? 'more' : sum),
  );
}

function coordinate(value: unknown, name: string): number {
  if (Math.abs(finite(value, name)) <= MAX_COORDINATE) return value as number;
  throw invalidArgument(name, `number between -${MAX_COORDINATE} and ${MAX_COORDINATE}`, value);
}

function finite(value: unknown, name: string): number {
  if (Number.isFinite(value)) return value as number;
  throw invalidArgument(name, 'finite number', value);
}

/** The mask of a segmentation, as `annToMask` of pycocotools draws it. */
export function drawSegmentation(segmentation: Segmentation, width: number, height: number): BinaryMask {
  const data = new Uint8Array(width * height);
  if ('runs' in segmentation) fillRuns(data, width, height, segmentation.runs);
  else for (const polygon of segmentation.polygons) fillPolygon(data, width, height, polygon);
  return { data, width, height };
}

/** An instance whose mask is drawn when it is first asked for: many uses need only some of an image's masks. */
export function toInstance(annotation: CocoAnnotation, width: number, height: number): Instance {
  const { id, category, crowd, segmentation } = annotation;
  let drawn: BinaryMask | undefined;
  const draw = (): BinaryMask => {
    drawn ??= drawSegmentation(segmentation, width, height);
    return drawn;
  };
  return {
    id,
    category,
    crowd,
    area: annotation.area ?? maskArea(draw().data),
    box: annotation.box ?? maskBox(draw().data, width, height),
    get mask() {
      return draw();
    },
  };
}
