// The whole path, image file to masks, on the bundled model: cases of every kind of prompt with the results of the float64
// reference. Every device runs them.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint';
import type { Prediction, Sam } from '../../lib/index';
import type { Prompt, PromptPoint } from '../../lib/prompts';

const ROOT = path.join(__dirname, '..', '..');
const SHARED = path.join(ROOT, '..', 'shared');

export interface PredictCase {
  /** Where it stands among the cases of its file. */
  index: number;
  /** Path of the image. */
  file: string;
  /** Path of the expected results. */
  expected: string;
  points?: PromptPoint[][];
  boxes?: [number, number, number, number][];
  multimask?: boolean;
  longestSide?: number;
  pad?: boolean;
  refine?: boolean;
  ba?: { length_scale?: boolean; distance?: { metric: 'manhattan'; slopes: number[]; start: number } };
  /** Of the reference's masks, px. */
  areas: number[][];
}

function casesOf(file: string, images: string): PredictCase[] {
  const list = JSON.parse(readFileSync(`${file}.json`, 'utf8')) as (PredictCase & { image: string })[];
  const expected = `${file}.expected.safetensors`;
  return list.map((c, index) => ({ ...c, index, file: path.join(images, c.image), expected }));
}

/** Cases on the picture of the repository. */
export const demoCases = casesOf(
  path.join(ROOT, 'test', 'fixtures', 'golden', 'demo'),
  path.join(ROOT, 'examples', 'images'),
);

// Pictures of other owners lie beside the repository, not in it.
const shared = path.join(SHARED, 'golden', 'predict', 'cases');
/** Cases on pictures beside the repository; none where there are none. */
export const sharedCases = existsSync(`${shared}.json`) ? casesOf(shared, path.join(SHARED, 'images')) : [];

/** `["case 3: scene.png", c]`, for `it.each`. */
export function named(cases: readonly PredictCase[]): [string, PredictCase][] {
  return cases.map((c) => [`case ${c.index}: ${path.basename(c.file)}`, c]);
}

/** The reference's logits and scores, of all masks one after another. */
export async function expectedOf(c: PredictCase): Promise<{ low: Float32Array; iou: Float32Array }> {
  const file = await openCheckpoint(c.expected);
  const read = async (name: string) => new Float32Array((await file.read(`${c.index}.${name}`)).buffer);
  const result = { low: await read('low_res_logits'), iou: await read('iou_predictions') };
  await file.close();
  return result;
}

export async function predictCase(sam: Sam, c: PredictCase): Promise<Prediction[]> {
  const embedding = await sam.encode(c.file, {
    longestSide: c.longestSide,
    pad: c.pad,
    lengthScale: c.ba?.length_scale,
    distance: c.ba?.distance,
  });
  const count = (c.points ?? c.boxes)!.length;
  const prompts = Array.from(
    { length: count },
    (_, i): Prompt => ({ points: c.points?.[i], box: c.boxes?.[i] }),
  );
  const options = { multimask: c.multimask };
  const first = await sam.predict(embedding, prompts, options);
  if (!c.refine) return first;
  const refined = prompts.map((prompt, i) => ({ ...prompt, mask: first[i].masks[0].lowRes }));
  return sam.predict(embedding, refined, options);
}

/** Low-resolution logits and scores of all masks, one after another, as {@link expectedOf} has them. */
export function flattened(predictions: readonly Prediction[]): { low: Float32Array; iou: number[] } {
  const masks = predictions.flatMap((prediction) => prediction.masks);
  const low = new Float32Array(masks.reduce((sum, mask) => sum + mask.lowRes.length, 0));
  let at = 0;
  for (const mask of masks) {
    low.set(mask.lowRes, at);
    at += mask.lowRes.length;
  }
  return { low, iou: masks.map((mask) => mask.score) };
}

/** Intersection over union of two masks; 1 when both are empty. */
export function maskIou(a: Uint8Array, b: Uint8Array): number {
  let both = 0;
  let either = 0;
  for (let i = 0; i < a.length; i++) {
    both += a[i] & b[i];
    either += a[i] | b[i];
  }
  return a.length !== b.length ? Number.NaN : either === 0 ? 1 : both / either;
}
