// The search for the mask's settings, on scenes that the report never sees. What is tried and by what it is judged is
// written here, before anything is measured.
import type { DistancePenalty } from '../../lib/index.ts';
import {
  compiledLibrary,
  FACTORS,
  mean,
  PROMPTS,
  progress,
  provenance,
  round,
  SEEDS,
  startClock,
} from './library.mts';
import { farMeasures, forEachEmbedding, iou, sceneMeans } from './measure.mts';
import { overCores } from './over-cores.mts';
import type { Candidate, CandidateMeans, Search, Settings, Stage } from './types.mts';

const METRICS = ['manhattan', 'euclidean', 'chebyshev'] as const;
const SLOPES = [0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 'alibi'] as const;
/** Shares of the trained grid's side that cost nothing. */
const STARTS = [0, 0.5, 1];

/** Every mask, with and without the length scale, on few scenes at one size: the middle of those of interest. */
const COARSE: Stage = { firstSeed: SEEDS.searchCoarse, scenes: 20, factors: [3] };
/** The best masks on other scenes, at every size but the trained one. */
const FINE: Stage = {
  firstSeed: SEEDS.searchFine,
  scenes: 40,
  factors: FACTORS.filter((factor) => factor > 1),
};
const FINALISTS = 6;

export const CRITERION =
  'the mean IoU over scenes, both prompts and all sizes of the stage; ' +
  'of a mask, the better of its values with and without the length scale';

/** Settings evaluated together share drawings; the model keeps 24 plans. */
const GROUP = 16;

async function trainedGrid() {
  const sam = await compiledLibrary().Sam.load();
  try {
    return sam.config.trainedGrid;
  } finally {
    await sam.dispose();
  }
}

function grid(side: number): DistancePenalty[] {
  return METRICS.flatMap((metric) =>
    SLOPES.flatMap((slopes) => STARTS.map((share) => ({ metric, slopes, start: Math.round(share * side) }))),
  );
}

/** Means over scenes, prompts and sizes of every candidate { lengthScale, distance }. */
async function evaluate(
  candidates: readonly Candidate[],
  { firstSeed, scenes, factors }: Stage,
  title: string,
): Promise<{ rows: CandidateMeans[]; cpu_s: number }> {
  const seeds = Array.from({ length: scenes }, (_, i) => firstSeed + i);
  const groups = Math.ceil(candidates.length / GROUP);
  const onScene = progress(title, groups * scenes * factors.length);
  const { results, cpu_s } = await overCores<typeof evaluateScenes>(
    'search-worker.mts',
    { candidates, factors },
    seeds,
    onScene,
  );
  const rows = candidates.map(({ lengthScale, distance }, i) => {
    const values = results.flatMap((part) => part[i]);
    return {
      lengthScale,
      distance,
      iou: round(mean(values.map(({ iou }) => iou)), 5),
      far: round(mean(values.map(({ far }) => far)), 4),
      iouBySize: factors.map((factor) =>
        round(mean(values.filter((value) => value.factor === factor).map(({ iou }) => iou))),
      ),
    };
  });
  return { rows, cpu_s };
}

/** Of one candidate, on one scene at one size. */
interface SceneValue {
  readonly factor: number;
  readonly iou: number;
  readonly far: number;
}

/** The part of one process. @returns a list per candidate */
export async function evaluateScenes(
  { candidates, factors }: { readonly candidates: readonly Candidate[]; readonly factors: readonly number[] },
  seeds: readonly number[],
  onScene: () => unknown,
): Promise<SceneValue[][]> {
  const sam = await compiledLibrary().Sam.load();
  const lists = candidates.map((): SceneValue[] => []);
  try {
    for (let begin = 0; begin < candidates.length; begin += GROUP) {
      const settings: Record<string, Settings> = Object.fromEntries(
        candidates
          .slice(begin, begin + GROUP)
          .map(({ lengthScale, distance }, i) => [
            begin + i,
            distance ? { lengthScale, distance } : { lengthScale },
          ]),
      );
      await forEachEmbedding({ sam, seeds, factors, settings, onScene }, async (at) => {
        const predictions = await sam.predict(at.embedding, at.prompts);
        const measures = predictions.map(({ best }, i) => {
          const target = at.truths[Math.floor(i / PROMPTS.length)];
          return { iou: iou(best.data, target.truth.data), ...farMeasures(best, target) };
        });
        const means = Object.values(sceneMeans(measures, ['iou', 'far']));
        lists[Number(at.name)].push({
          factor: at.factor,
          iou: mean(means.map(({ iou }) => iou)),
          far: mean(means.map(({ far }) => far)),
        });
      });
    }
  } finally {
    await sam.dispose();
  }
  return lists;
}

const bothWays = (distance: DistancePenalty | null): Candidate[] =>
  [false, true].map((lengthScale) => ({ lengthScale, distance }));
const sameMask = (a: Candidate, b: Candidate) => JSON.stringify(a.distance) === JSON.stringify(b.distance);
const byIou = (a: CandidateMeans, b: CandidateMeans) => b.iou - a.iou;

type Masked = CandidateMeans & { readonly distance: DistancePenalty };

/** Masks in falling order of the better of their two rows. */
function ranking(rows: readonly CandidateMeans[]): Masked[] {
  const masked = rows.filter((row): row is Masked => row.distance !== null).sort(byIou);
  return masked.filter((row, i) => masked.findIndex((other) => sameMask(row, other)) === i);
}

/**
 * Searches.
 *
 * @returns everything that was tried with its values, the mask chosen, and the best setting of all
 */
export async function search(): Promise<Search> {
  const clock = startClock();
  const masks = grid(await trainedGrid());
  const coarse = await evaluate([null, ...masks].flatMap(bothWays), COARSE, 'coarse search');
  const finalists = ranking(coarse.rows)
    .slice(0, FINALISTS)
    .map(({ distance }) => distance);
  const fine = await evaluate([null, ...finalists].flatMap(bothWays), FINE, 'fine search');
  const best = [...fine.rows].sort(byIou)[0];
  return {
    study: 'resolution-search',
    ...provenance(),
    time: clock(coarse.cpu_s + fine.cpu_s),
    criterion: CRITERION,
    coarse: { ...COARSE, rows: coarse.rows },
    fine: { ...FINE, rows: fine.rows },
    /** Of the masks: what `mask` and `both` of the report mean. */
    mask: ranking(fine.rows)[0].distance,
    /** Of all settings, those without a mask included: the default for zero-shot use. */
    best: { lengthScale: best.lengthScale, distance: best.distance },
  };
}
