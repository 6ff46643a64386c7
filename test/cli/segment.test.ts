// `ba-sam segment`: golden predictions through the tool; masks, JSON, overlay, logits and embeddings agree.
import { readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeRle, maskArea, maskBox, type Rle } from '../../lib/image/rle';
import { largestRelativeError } from '../support/compare';
import { BLOTCHED, DEMO, GOLDEN, POINT, quiet, STRIPED, temporaryFolder, tensors } from './run';

const folder = temporaryFolder();
const at = (name: string) => path.join(folder, name);

interface MaskEntry {
  prompt: number;
  score: number;
  area: number;
  bbox: number[];
  rle: Rle;
}

async function segment(...args: string[]): Promise<void> {
  await quiet(['segment', DEMO, ...args], { cwd: folder });
}

function json(name: string): { image: { width: number; height: number }; masks: MaskEntry[] } {
  return JSON.parse(readFileSync(at(name), 'utf8'));
}

/** A mask file's pixels; it must be one channel of 0 and 255. */
async function pixels(name: string): Promise<Uint8Array> {
  const { channels } = await sharp(at(name)).metadata();
  expect(channels).toBe(name.endsWith('.png') ? 1 : 3); // WebP has no gray
  const { data, info } = await sharp(at(name)).extractChannel(0).raw().toBuffer({ resolveWithObject: true });
  expect(info).toMatchObject({ width: 768, height: 576, channels: 1 });
  expect(data.every((value) => value === 0 || value === 255)).toBe(true);
  return data;
}

interface PredictCase {
  points?: number[][][];
  boxes?: number[][];
  multimask?: boolean;
  longestSide?: number;
  pad?: boolean;
  refine?: boolean;
  ba?: { length_scale?: boolean; distance?: { metric: string; slopes: number[]; start: number } };
  areas: number[][];
}

function argsOf({ points, boxes = [], multimask, longestSide, pad, ba = {} }: PredictCase): string[] {
  const { length_scale, distance } = ba;
  return [
    ...(points ?? []).flat().flatMap((values) => ['--point', values.join()]),
    ...boxes.flatMap((values) => ['--box', values.join()]),
    ...(multimask ? ['--multimask'] : []),
    ...(longestSide ? ['--longest-side', `${longestSide}`] : []),
    ...(pad === false ? ['--no-pad'] : []),
    ...(length_scale ? ['--length-scale'] : []),
    ...(distance
      ? ['--distance', distance.metric, '--slopes', distance.slopes.join(), '--start', `${distance.start}`]
      : []),
  ];
}

describe('golden predictions', async () => {
  const cases = JSON.parse(readFileSync(path.join(GOLDEN, 'demo.json'), 'utf8')) as PredictCase[];
  const expected = await tensors(path.join(GOLDEN, 'demo.expected.safetensors'));

  it.each(cases.map((c, i) => [i, argsOf(c).join(' '), c] as const))('%i: %s', async (i, _, c) => {
    const files = ['-o', 'golden.png', '--json', 'golden.json', '--low-res', 'golden.safetensors'];
    await segment(...argsOf(c), ...files);
    if (c.refine) {
      const first = ['-o', 'golden.png', '--json', 'golden.json', '--low-res', 'refined.safetensors'];
      await segment(...argsOf(c), '--mask-input', 'golden.safetensors', ...first);
    }
    const written = await tensors(at(c.refine ? 'refined.safetensors' : 'golden.safetensors'));
    for (const name of ['low_res_logits', 'iou_predictions']) {
      const actual = written.get(name)!;
      const wanted = expected.get(`${i}.${name}`)!;
      expect(actual.shape).toEqual(wanted.shape);
      expect(largestRelativeError(actual.data, wanted.data)).toBeLessThanOrEqual(2e-4);
    }
    const areas = c.areas.flat();
    const { masks } = json('golden.json');
    expect(masks.map(({ prompt }) => prompt)).toEqual(
      c.areas.flatMap((list, prompt) => list.map(() => prompt)),
    );
    for (const [m, { area }] of masks.entries()) {
      // A pixel whose logit is within rounding of 0 may fall on either side.
      expect(Math.abs(area - areas[m])).toBeLessThanOrEqual(3);
    }
  });
});

describe('files of one call', () => {
  it('agree with each other', async () => {
    await segment(
      ...[...STRIPED, ...BLOTCHED, '--multimask', '-o', 'mask.png', '--json', 'mask.json'],
      ...['--overlay', 'overlay.png', '--low-res', 'low.safetensors'],
    );
    const { image, masks } = json('mask.json');
    expect(image).toEqual({ width: 768, height: 576 });
    expect(masks.map(({ prompt }) => prompt)).toEqual([0, 0, 0, 1, 1, 1]);
    expect(Object.keys(masks[0])).toEqual(['prompt', 'score', 'area', 'bbox', 'rle']);
    const decoded = masks.map(({ rle }) => decodeRle(rle));
    for (const [m, { area, bbox, rle }] of masks.entries()) {
      expect(rle.size).toEqual([576, 768]);
      expect(maskArea(decoded[m])).toBe(area);
      expect(maskBox(decoded[m], 768, 576)).toEqual(bbox);
    }
    // MASK.png: the best of each prompt, united.
    const best = [0, 1].map((prompt) => {
      const own = masks.flatMap((mask, m) => (mask.prompt === prompt ? [m] : []));
      return own.reduce((a, b) => (masks[b].score > masks[a].score ? b : a));
    });
    const mask = await pixels('mask.png');
    expect(mask.every((value, i) => (value === 255) === best.some((m) => decoded[m][i] === 1))).toBe(true);
    // LOW: scores in the same order.
    const low = await tensors(at('low.safetensors'));
    expect(low.get('low_res_logits')!.shape).toEqual([2, 3, 64, 64]);
    expect(low.get('iou_predictions')!.shape).toEqual([2, 3]);
    expect([...low.get('iou_predictions')!.data]).toEqual(masks.map(({ score }) => score));
    // The overlay has the photograph's size and other pixels.
    const overlay = sharp(at('overlay.png'));
    expect(await overlay.metadata()).toMatchObject({ width: 768, height: 576, channels: 3 });
    const photo = await sharp(DEMO).removeAlpha().raw().toBuffer();
    expect((await overlay.raw().toBuffer()).equals(photo)).toBe(false);
  });

  it.each([
    ['mask.webp', 'overlay.webp', 'webp'],
    ['mask.PNG', 'overlay.jpg', 'jpeg'],
  ])('%s and %s', async (mask, overlay, format) => {
    await segment(...POINT, '-o', mask, '--overlay', overlay);
    expect((await sharp(at(overlay)).metadata()).format).toBe(format);
    if (mask.endsWith('webp')) {
      await segment(...POINT, '-o', 'same.png');
      expect(await pixels(mask)).toEqual(await pixels('same.png'));
    }
  });

  it('replaces what a link points to, not the link', async () => {
    await segment(...POINT, '-o', 'target.png');
    symlinkSync('target.png', at('link.png'));
    await segment(...STRIPED, '-o', 'link.png');
    await segment(...STRIPED, '-o', 'striped.png');
    expect(readFileSync(at('target.png')).equals(readFileSync(at('striped.png')))).toBe(true);
  });
});

describe('prompts', () => {
  it('are the same whatever the order and wording of points', async () => {
    await segment('--point', '320,440', '--point', '200,200,0', '-o', 'a.png');
    await segment('--point=2e2,200.0,0', '-o', 'b.png', '--point', '+320,440,1');
    expect(await pixels('a.png')).toEqual(await pixels('b.png'));
    // With spaces, and with JSON as all that is asked for.
    await segment('--point', '320, 440', '--point', ' 200 ,200, 0', '--json', 'alone.json');
    const [mask] = json('alone.json').masks;
    expect(Buffer.from(decodeRle(mask.rle))).toEqual((await pixels('a.png')).map((value) => value & 1));
  });

  it('may touch the edges of the image', async () => {
    await segment('--point', '0,0', '--point', '768,576,0', '--box', '0,0,768,576', '-o', 'edges.png');
  });

  it('may be a mask alone', async () => {
    await segment(...STRIPED, ...BLOTCHED, '-o', 'boxes.png', '--low-res', 'boxes.safetensors');
    await segment('--mask-input', 'boxes.safetensors', '-o', 'masks.png', '--json', 'masks.json');
    expect(json('masks.json').masks.map(({ prompt }) => prompt)).toEqual([0, 1]);
  });

  it('take the best of several masks as their mask prompt', async () => {
    await segment(...STRIPED, '--multimask', '-o', 'multi.png', '--low-res', 'multi.safetensors');
    const { low_res_logits: low, iou_predictions: iou } = Object.fromEntries(
      await tensors(at('multi.safetensors')),
    );
    const best = iou.data.indexOf(Math.max(...iou.data));
    const { writeSafetensors } = await import('../../lib/checkpoint/write-safetensors');
    await writeSafetensors(at('best.safetensors'), [
      {
        name: 'low_res_logits',
        dtype: 'f32',
        shape: [1, 1, 64, 64],
        data: low.data.slice(best * 4096, (best + 1) * 4096),
      },
    ]);
    await segment(...STRIPED, '--mask-input', 'multi.safetensors', '-o', 'from-multi.png');
    await segment(...STRIPED, '--mask-input', 'best.safetensors', '-o', 'from-best.png');
    expect(await pixels('from-multi.png')).toEqual(await pixels('from-best.png'));
  });
});

describe('--embedding', () => {
  const made = [
    '--longest-side',
    '320',
    '--no-pad',
    '--length-scale',
    '--distance',
    'manhattan',
    '--start',
    '3',
  ];

  it('from `ba-sam encode` gives the mask of a single call', async () => {
    await segment(...POINT, ...made, '-o', 'single.png');
    await quiet(['encode', DEMO, ...made, '-o', 'kept.safetensors'], { cwd: folder });
    // With the options it was made with, or with none.
    for (const again of [made, [], ['--distance', 'manhattan', '--start', '3']]) {
      await segment(...POINT, ...again, '--embedding', 'kept.safetensors', '-o', 'reused.png');
      expect(await pixels('reused.png')).toEqual(await pixels('single.png'));
    }
  });

  it('is written when it is missing, and then used', async () => {
    const args = [...POINT, ...made, '--embedding', 'cache.safetensors', '-o', 'cached.png'];
    await segment(...args);
    const bytes = readFileSync(at('cache.safetensors'));
    await segment(...args);
    expect(readFileSync(at('cache.safetensors')).equals(bytes)).toBe(true);
    await quiet(['encode', DEMO, ...made, '-o', 'same.safetensors'], { cwd: folder });
    expect(readFileSync(at('same.safetensors')).equals(bytes)).toBe(true);
  });
});
