// Measures settings on drawn scenes: one size after the other, every setting on the same picture and prompts.
import { truthPrompt } from '../../lib/eval/prompts.ts';
import type { BinaryMask } from '../../lib/eval/types.ts';
import type {
  Embedding,
  EncodeOptions,
  Prompt,
  PromptPoint,
  RawImage,
  RgbImage,
  Sam,
} from '../../lib/index.ts';
import { FAR_TOKENS, farFalsePositives, farRegion } from './far-positives.ts';
import { mean, PROMPTS } from './library.mts';
import { drawScene, makeScene, type Scene, TARGETS_PER_SCENE } from './scenes/index.ts';
import type { PromptName, Settings } from './types.mts';

/** A prompt in scene coordinates, 0 … 1. */
type ScenePrompt =
  | { readonly point: readonly [x: number, y: number] }
  | { readonly box: readonly [x0: number, y0: number, x1: number, y1: number] };

/** An object that prompts ask for, and what is far from it. */
export interface Target {
  readonly truth: BinaryMask;
  /** Beyond FAR_TOKENS of the input. */
  readonly far: BinaryMask;
  /** Beyond as much of the scene at every size. */
  readonly farFixed: BinaryMask;
}

/** One scene at one size with one setting. */
export interface Visit {
  readonly factor: number;
  readonly side: number;
  readonly scene: Scene;
  /** Of the setting. */
  readonly name: string;
  readonly image: RawImage;
  readonly truths: readonly Target[];
  readonly prompts: Prompt[];
  readonly embedding: Embedding;
}

/** A far area beyond this share of the object counts as a mask that went astray. */
export const ASTRAY = 0.1;

/** Prompts of every target in scene coordinates: one list per target, in the order of PROMPTS. */
export function scenePrompts(masks: readonly BinaryMask[]): ScenePrompt[][] {
  return masks.map((mask) =>
    PROMPTS.map((kind): ScenePrompt => {
      const { points, box } = truthPrompt(kind, mask)!;
      if (box) {
        const [x0, y0, x1, y1] = box;
        return { box: [x0 / mask.width, y0 / mask.width, x1 / mask.width, y1 / mask.width] };
      }
      const [x, y] = points![0] as PromptPoint;
      // The prompt encoder adds half a pixel to a point: a pixel's index stands for its middle.
      return { point: [(x + 0.5) / mask.width, (y + 0.5) / mask.width] };
    }),
  );
}

/** All prompts at one size, target by target. */
export function promptsAt(prompts: readonly (readonly ScenePrompt[])[], side: number): Prompt[] {
  const pixel = (value: number) => Math.max(0, value * side - 0.5);
  return prompts.flat().map((prompt) => {
    if ('point' in prompt) return { points: [[pixel(prompt.point[0]), pixel(prompt.point[1])]] };
    const [x0, y0, x1, y1] = prompt.box;
    return { box: [x0 * side, y0 * side, x1 * side, y1 * side] };
  });
}

export function encodeOptions(side: number, settings: Settings): EncodeOptions {
  return { longestSide: side, pad: false, ...settings };
}

export function rawImage({ data, width, height }: RgbImage): RawImage {
  return { data, width, height, channels: 3 };
}

/**
 * Runs `visit` for every size, scene and setting. Sizes are outermost, so that the model needs few plans at a time, and
 * fall: the largest drawing gives the prompts of all sizes.
 *
 * @param settings { name: settings of encode() }
 * @param onScene called after every scene at every size
 * @param visit awaited
 */
export async function forEachEmbedding(
  {
    sam,
    seeds,
    factors,
    settings,
    onScene,
  }: {
    readonly sam: Sam;
    readonly seeds: readonly number[];
    readonly factors: readonly number[];
    readonly settings: Readonly<Record<string, Settings>>;
    readonly onScene?: () => unknown;
  },
  visit: (at: Visit) => Promise<void>,
): Promise<void> {
  const { trainedSide_px, patch } = sam.config;
  const scenes = seeds.map((seed) => makeScene(seed));
  const asked: ScenePrompt[][][] = [];
  for (const factor of [...factors].sort((a, b) => b - a)) {
    const side = trainedSide_px * factor;
    for (const [index, scene] of scenes.entries()) {
      const { image, masks } = drawScene(scene, side);
      asked[index] ??= scenePrompts(masks);
      const truths = masks.map((truth) => ({
        truth,
        far: farRegion(truth, FAR_TOKENS * patch),
        farFixed: farRegion(truth, FAR_TOKENS * patch * factor),
      }));
      const prompts = promptsAt(asked[index], side);
      for (const [name, options] of Object.entries(settings)) {
        const raw = rawImage(image);
        const embedding = await sam.encode(raw, encodeOptions(side, options));
        await visit({ factor, side, scene, name, image: raw, truths, prompts, embedding });
      }
      await onScene?.();
    }
  }
}

/** Far false positives of one binary mask. */
export function farMeasures(mask: BinaryMask, { truth, far, farFixed }: Target) {
  const share = farFalsePositives(mask, truth, far);
  return { far: share, farFixed: farFalsePositives(mask, truth, farFixed), astray: share > ASTRAY ? 1 : 0 };
}

/** Mean of each measure over a scene's targets, per prompt kind. `rows` are in the order of the prompts. */
export function sceneMeans<M extends string>(
  rows: readonly Readonly<Record<M, number>>[],
  measures: readonly M[],
): Record<PromptName, Record<M, number>> {
  const entries = PROMPTS.map((prompt, kind) => {
    const own = rows.filter((_, i) => i % PROMPTS.length === kind);
    if (own.length !== TARGETS_PER_SCENE) throw new Error(`Expected ${TARGETS_PER_SCENE} targets`);
    return [prompt, Object.fromEntries(measures.map((key) => [key, mean(own.map((row) => row[key]))]))];
  });
  return Object.fromEntries(entries);
}

/** Of two masks of 0 and 1, of one size; 1 when both are empty. */
export function iou(a: Uint8Array, b: Uint8Array): number {
  let both = 0;
  let either = 0;
  for (let i = 0; i < a.length; i++) {
    both += a[i] & b[i];
    either += a[i] | b[i];
  }
  return either === 0 ? 1 : both / either;
}
