// Measures settings on drawn scenes: one size after the other, every setting on the same picture and prompts.
import { dist, mean, PROMPTS } from './library.mjs';

const { drawScene, makeScene, TARGETS_PER_SCENE } = dist('eval/scenes');
const { FAR_TOKENS, farRegion, farFalsePositives } = dist('eval/far-positives');
const { truthPrompt } = dist('eval/prompts');

/** A far area beyond this share of the object counts as a mask that went astray. */
export const ASTRAY = 0.1;

/** Prompts of every target in scene coordinates (0 … 1): one list per target, in the order of PROMPTS. */
export function scenePrompts(masks) {
  return masks.map((mask) =>
    PROMPTS.map((kind) => {
      const { points, box } = truthPrompt(kind, mask);
      // The prompt encoder adds half a pixel to a point: a pixel's index stands for its middle.
      if (points) return { point: points[0].map((value) => (value + 0.5) / mask.width) };
      return { box: box.map((value) => value / mask.width) };
    }),
  );
}

/** All prompts at one size, target by target. */
export function promptsAt(prompts, side) {
  return prompts
    .flat()
    .map(({ point, box }) =>
      point
        ? { points: [point.map((value) => Math.max(0, value * side - 0.5))] }
        : { box: box.map((value) => value * side) },
    );
}

export function encodeOptions(side, settings) {
  return { longestSide: side, pad: false, ...settings };
}

export function rawImage({ data, width, height }) {
  return { data, width, height, channels: 3 };
}

/**
 * Runs `visit` for every size, scene and setting. Sizes are outermost, so that the model needs few plans at a time, and
 * fall: the largest drawing gives the prompts of all sizes.
 *
 * @param settings { name: settings of encode() }
 * @param onScene called after every scene at every size
 * @param visit awaited with { factor, side, scene, name, image, truths, prompts, embedding }
 */
export async function forEachEmbedding({ sam, seeds, factors, settings, onScene }, visit) {
  const { trainedSide_px, patch } = sam.config;
  const scenes = seeds.map((seed) => makeScene(seed));
  const asked = [];
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
      onScene?.();
    }
  }
}

/** Far false positives of one binary mask. */
export function farMeasures(mask, { truth, far, farFixed }) {
  const share = farFalsePositives(mask, truth, far);
  return { far: share, farFixed: farFalsePositives(mask, truth, farFixed), astray: share > ASTRAY ? 1 : 0 };
}

/** Mean of each measure over a scene's targets, per prompt kind. `rows` are in the order of the prompts. */
export function sceneMeans(rows) {
  return PROMPTS.map((_, kind) => {
    const own = rows.filter((_, i) => i % PROMPTS.length === kind);
    if (own.length !== TARGETS_PER_SCENE) throw new Error(`Expected ${TARGETS_PER_SCENE} targets`);
    return Object.fromEntries(Object.keys(own[0]).map((key) => [key, mean(own.map((row) => row[key]))]));
  });
}
