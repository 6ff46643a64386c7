// The whole path, image file to masks, against the float64 reference on the bundled model: every kind of prompt.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint';
import { type Prediction, Sam } from '../../lib/index';
import type { Prompt, PromptPoint } from '../../lib/prompts';
import { largestRelativeError } from '../support/compare';

const ROOT = path.join(__dirname, '..', '..');
const SHARED = path.join(ROOT, '..', 'shared');

interface PredictCase {
  image: string;
  points?: PromptPoint[][];
  boxes?: [number, number, number, number][];
  multimask?: boolean;
  longestSide?: number;
  pad?: boolean;
  refine?: boolean;
  ba?: { length_scale?: boolean; distance?: { metric: 'manhattan'; slopes: number[]; start: number } };
  areas: number[][];
}

let sam: Sam;
beforeAll(async () => {
  sam = await Sam.load();
});
afterAll(() => sam.dispose());

function promptsOf(c: PredictCase): Prompt[] {
  const count = (c.points ?? c.boxes)!.length;
  return Array.from({ length: count }, (_, i) => ({ points: c.points?.[i], box: c.boxes?.[i] }));
}

async function predict(c: PredictCase, images: string): Promise<Prediction[]> {
  const embedding = await sam.encode(path.join(images, c.image), {
    longestSide: c.longestSide,
    pad: c.pad,
    lengthScale: c.ba?.length_scale,
    distance: c.ba?.distance,
  });
  const options = { multimask: c.multimask };
  const first = await sam.predict(embedding, promptsOf(c), options);
  if (!c.refine) return first;
  const refined = promptsOf(c).map((prompt, i) => ({ ...prompt, mask: first[i].masks[0].lowRes }));
  return sam.predict(embedding, refined, options);
}

function suite(title: string, file: string, images: string): void {
  const cases = JSON.parse(readFileSync(`${file}.json`, 'utf8')) as PredictCase[];
  describe(title, () => {
    it.each(cases.map((c, i) => [i, c.image, c] as const))('case %i: %s', async (i, _image, c) => {
      const expected = await openCheckpoint(`${file}.expected.safetensors`);
      const read = async (name: string) => new Float32Array((await expected.read(`${i}.${name}`)).buffer);
      const [low, iou] = [await read('low_res_logits'), await read('iou_predictions')];
      await expected.close();

      const predictions = await predict(c, images);
      const masks = predictions.flatMap((prediction) => prediction.masks);
      const actual = new Float32Array(low.length);
      for (const [m, mask] of masks.entries()) actual.set(mask.lowRes, m * mask.lowRes.length);
      expect(masks.length).toBe(iou.length);
      expect(largestRelativeError(actual, low)).toBeLessThanOrEqual(2e-4);
      expect(
        largestRelativeError(
          masks.map((mask) => mask.score),
          iou,
        ),
      ).toBeLessThanOrEqual(2e-4);
      const areas = masks.map((mask) => mask.data.reduce((sum, value) => sum + value, 0));
      // A pixel whose logit is within rounding of 0 may fall on either side.
      for (const [m, area] of c.areas.flat().entries())
        expect(Math.abs(areas[m] - area)).toBeLessThanOrEqual(3);
      for (const { best, masks: all } of predictions) {
        expect(best.score).toBe(Math.max(...all.map((mask) => mask.score)));
      }
    });
  });
}

suite(
  'demo picture',
  path.join(ROOT, 'test', 'fixtures', 'golden', 'demo'),
  path.join(ROOT, 'examples', 'images'),
);

// Pictures of other owners lie beside the repository, not in it.
const sharedCases = path.join(SHARED, 'golden', 'predict', 'cases');
if (existsSync(`${sharedCases}.json`))
  suite('pictures beside the repository', sharedCases, path.join(SHARED, 'images'));

describe('predict', () => {
  it('gives many mixed prompts the results that each gets alone, in order', async () => {
    const embedding = await sam.encode(path.join(ROOT, 'examples', 'images', 'demo.png'));
    const [seed] = await sam.predict(embedding, [{ points: [[200, 200]] }]);
    const prompts: Prompt[] = [
      { points: [[200, 200]] },
      { box: [385, 36, 555, 362] },
      { points: [[470, 150]], box: [385, 36, 555, 362] },
      { mask: seed.masks[0].lowRes },
      {
        points: [
          [320, 440, 1],
          [200, 200, 0],
        ],
      },
      { points: [[320, 440]], mask: seed.masks[0].lowRes },
      ...Array.from({ length: 70 }, (_, i): Prompt => ({ points: [[10 * i, 5 * i]] })),
    ];
    const together = await sam.predict(embedding, prompts, { multimask: true });
    expect(together.length).toBe(prompts.length);
    for (const i of [0, 1, 2, 3, 4, 5, 6, 40, 75]) {
      const alone = await sam.predict(embedding, prompts[i], { multimask: true });
      for (let m = 0; m < 3; m++) {
        expect(largestRelativeError(together[i].masks[m].lowRes, alone.masks[m].lowRes)).toBeLessThanOrEqual(
          2e-5,
        );
        expect(together[i].masks[m].score).toBeCloseTo(alone.masks[m].score, 5);
      }
    }
  });

  it('leaves full-size masks out on request', async () => {
    const embedding = await sam.encode(path.join(ROOT, 'examples', 'images', 'demo.png'));
    const { best } = await sam.predict(embedding, { points: [[200, 200]] }, { fullSize: false });
    expect(best.data.length).toBe(0);
    expect(best.lowRes.length).toBe(64 * 64);
  });
});
