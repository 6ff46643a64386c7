// The reported run: every setting at every size on the reported scenes, one number per scene.
import { createMetrics } from '../../lib/eval/metrics/index.ts';
import { binaryMask, Predictor, softMask } from '../../lib/eval/predict.ts';
import type { DistancePenalty } from '../../lib/index.ts';
import { compiledLibrary, FACTORS, PROMPTS, progress, provenance, SEEDS, startClock } from './library.mts';
import { farMeasures, forEachEmbedding, sceneMeans } from './measure.mts';
import { overCores } from './over-cores.mts';
import { SCENE_KINDS } from './scenes/index.ts';
import type { Measure, Settings, Study, StudyModel, StudyValues } from './types.mts';

export const SCENES = 200;
/** Measures of a scene; all but the first and third are better when lower. */
const MEASURES: readonly Measure[] = ['iou', 'mae', 'boundaryIou', 'far', 'farFixed', 'astray'];

/** What is compared. @param mask the distance penalty that the search chose */
export function studySettings(mask: DistancePenalty): Record<string, Settings> {
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
export async function run(
  mask: DistancePenalty,
  { scenes = SCENES, firstSeed = SEEDS.report } = {},
): Promise<Study> {
  const clock = startClock();
  const settings = studySettings(mask);
  const seeds = Array.from({ length: scenes }, (_, i) => firstSeed + i);
  const onScene = progress('study', scenes * FACTORS.length);
  const { results, cpu_s } = await overCores<typeof measureScenes>(
    'run-worker.mts',
    settings,
    seeds,
    onScene,
  );
  const values: StudyValues = {};
  for (const part of results) {
    for (const [factor, settings] of Object.entries(part.values)) {
      for (const [name, prompts] of Object.entries(settings)) {
        const own = listsOf(values, factor, name);
        for (const prompt of PROMPTS) {
          for (const measure of MEASURES) own[prompt][measure].push(...prompts[prompt][measure]);
        }
      }
    }
  }
  return {
    study: 'resolution-study',
    ...provenance(),
    time: clock(cpu_s),
    ...results[0].model,
    firstSeed,
    scenes,
    kinds: SCENE_KINDS,
    settings,
    values,
  };
}

/** The part of one process: the same tree for its seeds. */
export async function measureScenes(
  settings: Readonly<Record<string, Settings>>,
  seeds: readonly number[],
  onScene: () => unknown,
): Promise<{ model: StudyModel; values: StudyValues }> {
  const sam = await compiledLibrary().Sam.load();
  const predictor = new Predictor(sam, false);
  // Values are compared as they are: stretching a prediction to [0, 1] would hide a model's doubt.
  const metrics = createMetrics(['iou', 'mae', 'boundary-iou'], { normalize: false });
  const values: StudyValues = {};
  try {
    await forEachEmbedding({ sam, seeds, factors: FACTORS, settings, onScene }, async (at) => {
      const rows: Record<Measure, number>[] = [];
      for await (const logits of predictor.each(at.embedding, at.prompts)) {
        const target = at.truths[Math.floor(rows.length / PROMPTS.length)];
        const far = farMeasures(binaryMask(logits), target);
        const { iou, mae, boundaryIou } = metrics.add(softMask(logits), target.truth);
        rows.push({ iou, mae, boundaryIou, ...far });
      }
      const means = sceneMeans(rows, MEASURES);
      const own = listsOf(values, at.factor, at.name);
      for (const prompt of PROMPTS) {
        for (const measure of MEASURES)
          own[prompt][measure].push(Number(means[prompt][measure].toPrecision(4)));
      }
    });
    const { trainedSide_px, patch } = sam.config;
    return { model: { trainedSide_px, patch }, values };
  } finally {
    await sam.dispose();
  }
}

/** The lists of a size and a setting, begun when there are none. */
function listsOf(values: StudyValues, factor: number | string, name: string) {
  const empty = () => ({ iou: [], mae: [], boundaryIou: [], far: [], farFixed: [], astray: [] });
  values[factor] ??= {};
  values[factor][name] ??= { 'gt-point': empty(), 'gt-box': empty() };
  return values[factor][name];
}
