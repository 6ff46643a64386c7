// The study itself: what it says of numbers whose meaning is known, and what its command line refuses.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { PROMPTS, type Stored } from '../../../bench/study/library.mts';
import { Random } from '../../../bench/study/random';
import { documentText } from '../../../bench/study/report.mts';
import type { SceneKind } from '../../../bench/study/scenes';
import { type Select, Statistics } from '../../../bench/study/statistics.mts';
import type { Candidate, Measure, Search, Study } from '../../../bench/study/types.mts';
import type { DistancePenalty } from '../../../lib/index';

const ROOT = path.join(__dirname, '..', '..', '..');

const FACTORS = [1, 2, 4];
const SCENES = 40;

type Change = (factor: number, scene: number) => number;

const PROVENANCE = {
  ...{ date: '2000-01-01', version: '0.0.0', commit: 'abcdef0', node: 'v20.0.0' },
  machine: { cpu: 'A processor', cores: 2 },
};

/** A study whose settings differ from plain by `changes`, the same in every measure. */
function invented(changes: Record<string, Change>): Stored<Study> {
  const random = new Random(5);
  const base = Array.from({ length: SCENES }, () => random.between(0.3, 0.6));
  const measures = ['iou', 'far', 'farFixed', 'astray', 'boundaryIou', 'mae'] as const;
  const entries = <K extends string | number, T>(keys: readonly K[], value: (key: K) => T) =>
    Object.fromEntries(keys.map((key) => [key, value(key)])) as Record<K, T>;
  return {
    file: '2000-01-01-resolution-study.json',
    study: 'resolution-study',
    ...PROVENANCE,
    time: { wall_s: 600, cpu_s: 1200 },
    trainedSide_px: 256,
    patch: 16,
    firstSeed: 0,
    scenes: SCENES,
    kinds: ['simple', 'occlusion', 'camouflage', 'clutter', 'context'],
    settings: entries(['plain', ...Object.keys(changes)], () => ({ lengthScale: true })),
    values: entries(FACTORS, (factor) =>
      entries(['plain', ...Object.keys(changes)], (setting) =>
        entries(PROMPTS, () =>
          entries(measures, () =>
            base.map((value, scene) => value + (changes[setting]?.(factor, scene) ?? 0)),
          ),
        ),
      ),
    ),
  };
}

const CHANGES: Record<string, Change> = {
  'length scale': (factor) => (factor === 1 ? 0 : 0.05),
  mask: (_, scene) => (scene % 5 === 4 ? 0.1 : -0.1),
  both: (factor, scene) => new Random(scene, factor).between(-0.1, 0.1),
};

const MASK: DistancePenalty = { metric: 'manhattan', slopes: 0.2, start: 16 };

function inventedSearch(best: Candidate): Stored<Search> {
  const row = (lengthScale: boolean, distance: DistancePenalty | null, iou: number) => ({
    lengthScale,
    distance,
    iou,
    far: 1,
    iouBySize: [iou, iou],
  });
  const rows = [row(false, null, 0.4), row(true, null, 0.41), row(false, MASK, 0.42), row(true, MASK, 0.43)];
  const stage = { firstSeed: 1000, scenes: 20, factors: [2, 4], rows };
  return {
    file: '2000-01-01-resolution-search.json',
    study: 'resolution-search',
    ...PROVENANCE,
    time: { wall_s: 30, cpu_s: 60 },
    criterion: 'the mean IoU',
    coarse: stage,
    fine: stage,
    mask: MASK,
    best,
  };
}

describe('statistics of the study', () => {
  it('tell better from worse from nothing, whichever way a measure points', () => {
    const statistics = new Statistics(invented(CHANGES));
    const against = (setting: string, measure: Measure, factors = [2, 4], kind?: SceneKind) =>
      statistics.againstPlain({ factors, setting, measure, kind });
    const gain = against('length scale', 'iou');
    expect(gain.mean).toBeCloseTo(0.05, 10);
    expect(gain.verdict).toBe(1);
    expect(against('length scale', 'far').verdict).toBe(-1);
    expect(against('length scale', 'iou', [1])).toEqual({ mean: 0, low: 0, high: 0, verdict: 0 });
    expect(against('mask', 'iou').verdict).toBe(-1);
    expect(against('mask', 'iou', [2], 'context').verdict).toBe(1);
    expect(against('both', 'iou').verdict).toBe(0);
  });

  it('average over what is selected, scene by scene', () => {
    const data = invented(CHANGES);
    const statistics = new Statistics(data);
    const select = {
      ...{ factors: [1, 4], setting: 'length scale' },
      ...{ prompts: ['gt-box'], measure: 'iou' },
    } as const satisfies Select;
    const values = data.values;
    const expected = [0, 5].map(
      (i) => (values[1]['length scale']['gt-box'].iou[i] + values[4]['length scale']['gt-box'].iou[i]) / 2,
    );
    const simple = statistics.perScene({ ...select, kind: 'simple' });
    expect(simple).toHaveLength(SCENES / 5);
    expect(simple.slice(0, 2)).toEqual(expected);
  });
});

describe('the document', () => {
  const write = (best: Candidate) => documentText(invented(CHANGES), inventedSearch(best), []);

  it('says of each setting what its numbers say', () => {
    const text = write({ lengthScale: true, distance: null });
    expect(text).toContain('Over all larger sizes, length scale is better than plain in mIoU: +0.050');
    expect(text).toContain('Over all larger sizes, mask is worse than plain in mIoU');
    expect(text).toContain('gains in context (+0.100)');
    expect(text).toContain('Over all larger sizes, both cannot be told apart from plain in mIoU');
    expect(text).toContain('▲<br>+0.050 [+0.050, +0.050]');
    expect(text).not.toMatch(/NaN|undefined|Infinity|\[object/);
  });

  it('warns when the setting that the search chose does not hold up', () => {
    expect(write({ lengthScale: true, distance: null })).toContain('it is better than plain, too');
    expect(write({ lengthScale: false, distance: MASK })).toContain('it is *worse* than plain');
    expect(write({ lengthScale: true, distance: MASK })).toContain('do not expect much');
    expect(write({ lengthScale: false, distance: null })).toContain('put plain SAM first');
  });
});

describe('npm run study', () => {
  const call = (...args: string[]) =>
    spawnSync('npm', ['run', '--silent', 'study', '--', ...args], { cwd: ROOT, encoding: 'utf8' });

  it('explains itself, and refuses what it does not know', () => {
    const help = call('--help');
    expect(help.status).toBe(0);
    expect(help.stdout).toContain('--search');
    for (const [args, message] of [
      [['--scenes', '3'], 'Expected integer between 5 and 100000 for --scenes but received 3'],
      [['--scenes', 'many'], 'but received many'],
      [['--size', '9'], "Unknown option '--size'"],
    ] as const) {
      const { status, stderr } = call(...args);
      expect(status).toBe(2);
      expect(stderr).toContain(message);
    }
  });
});
