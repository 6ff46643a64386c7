// The reported run: every setting at every size on the reported scenes, one number per scene.
import { dist, FACTORS, PROMPTS, progress, provenance, SEEDS, startClock } from './library.mjs';
import { farMeasures, forEachEmbedding, sceneMeans } from './measure.mjs';
import { overCores } from './over-cores.mjs';

const { Predictor, binaryMask, softMask } = dist('eval/predict');
const { createMetrics } = dist('eval/metrics/index');

export const SCENES = 200;
/** Measures of a scene; all but the first and third are better when lower. */
export const MEASURES = ['iou', 'mae', 'boundaryIou', 'far', 'farFixed', 'astray'];

/** What is compared. @param mask the distance penalty that the search chose */
export function studySettings(mask) {
  return {
    plain: {},
    'length scale': { lengthScale: true },
    mask: { distance: mask },
    both: { lengthScale: true, distance: mask },
    // ALiBi's own slopes, without a search.
    'both, ALiBi': { lengthScale: true, distance: { metric: 'manhattan', slopes: 'alibi', start: 0 } },
  };
}

/**
 * Measures.
 *
 * @returns values[factor][setting][prompt][measure]: one number per scene, and what belongs to them
 */
export async function run(mask, { scenes = SCENES, firstSeed = SEEDS.report } = {}) {
  const clock = startClock();
  const settings = studySettings(mask);
  const seeds = Array.from({ length: scenes }, (_, i) => firstSeed + i);
  const onScene = progress('study', scenes * FACTORS.length);
  const { results, cpu_s } = await overCores('study', settings, seeds, onScene);
  const values = {};
  for (const part of results) {
    walk(part.values, (keys, numbers) => list(values, ...keys).push(...numbers));
  }
  return {
    study: 'resolution-study',
    ...provenance(),
    time: clock(cpu_s),
    ...results[0].model,
    firstSeed,
    scenes,
    kinds: dist('eval/scenes').SCENE_KINDS,
    settings,
    values,
  };
}

/** The part of one process: the same tree for its seeds. */
export async function measureScenes(settings, seeds, onScene) {
  const { Sam } = dist('index');
  const sam = await Sam.load();
  const predictor = new Predictor(sam, false);
  // Values are compared as they are: stretching a prediction to [0, 1] would hide a model's doubt.
  const metrics = createMetrics(['iou', 'mae', 'boundary-iou'], { normalize: false });
  const values = {};
  try {
    await forEachEmbedding({ sam, seeds, factors: FACTORS, settings, onScene }, async (at) => {
      const rows = [];
      for await (const logits of predictor.each(at.embedding, at.prompts)) {
        const target = at.truths[Math.floor(rows.length / PROMPTS.length)];
        const far = farMeasures(binaryMask(logits), target);
        rows.push({ ...metrics.add(softMask(logits), target.truth), ...far });
      }
      for (const [i, means] of sceneMeans(rows).entries()) {
        for (const measure of MEASURES) {
          list(values, at.factor, at.name, PROMPTS[i], measure).push(Number(means[measure].toPrecision(4)));
        }
      }
    });
    const { trainedSide_px, patch } = sam.config;
    return { model: { trainedSide_px, patch }, values };
  } finally {
    await sam.dispose();
  }
}

/** Visits every list of a tree with the keys that lead to it. */
function walk(tree, visit, keys = []) {
  if (Array.isArray(tree)) visit(keys, tree);
  else for (const [key, branch] of Object.entries(tree)) walk(branch, visit, [...keys, key]);
}

function list(tree, ...keys) {
  let at = tree;
  for (const key of keys.slice(0, -1)) at = at[key] ??= {};
  const last = keys.at(-1);
  at[last] ??= [];
  return at[last];
}
