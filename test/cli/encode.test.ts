// `ba-sam encode`: golden embeddings through the tool, images, metadata, every setting.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors';
import { native } from '../../lib/native';
import { largestRelativeError, relativeL2 } from '../support/compare';
import { goldenImage } from '../support/golden';
import { baSam, DEMO, GOLDEN, quiet, temporaryFolder, tensors } from './run';

const folder = temporaryFolder();

interface GoldenCase {
  key: string;
  height: number;
  width: number;
  imageSeed: number;
  ba?: { length_scale?: boolean; distance?: { metric: string; slopes: number[]; start: number } };
}

function settings({ ba = {} }: GoldenCase): string[] {
  const { length_scale, distance } = ba;
  return [
    ...(length_scale ? ['--length-scale'] : []),
    ...(distance
      ? ['--distance', distance.metric, '--slopes', distance.slopes.join(), '--start', `${distance.start}`]
      : []),
  ];
}

async function pixels(name: string, shape: readonly number[], data: Float32Array): Promise<string> {
  const file = path.join(folder, name);
  await writeSafetensors(file, [{ name: 'pixel_values', dtype: 'f32', shape, data }]);
  return file;
}

async function metadata(file: string) {
  const source = await openCheckpoint(file);
  await source.close();
  return JSON.parse(source.metadata.info);
}

const dtypes = native().info().bf16UnavailableReason ? ['f32'] : ['f32', 'bf16'];

describe.each(['d64', 'd80', 'coefficient'])('golden pixel values, %s', (name) => {
  const { cases } = JSON.parse(readFileSync(path.join(GOLDEN, `${name}.json`), 'utf8')) as {
    cases: GoldenCase[];
  };
  // Every setting at one size that is not the trained one; test/model/golden.test.ts has the rest.
  const { height, width } = cases.at(-1)!;
  const chosen = cases.filter((c) => c.height === height && c.width === width);
  const model = path.join(GOLDEN, `${name}.safetensors`);

  it.concurrent.each(chosen.map((c) => [c.key, c] as const))('%s', async (key, c) => {
    const input = await pixels(`${name}.${key}.safetensors`, [1, 3, c.height, c.width], goldenImage(c));
    const expected = (await tensors(path.join(GOLDEN, `${name}.expected.safetensors`))).get(key)!;
    for (const dtype of name === 'd64' ? dtypes : ['f32']) {
      const output = path.join(folder, `${name}.${key}.${dtype}.out.safetensors`);
      await quiet(['encode', input, '--model', model, '--dtype', dtype, ...settings(c), '-o', output]);
      const { shape, data } = (await tensors(output)).get('image_embeddings')!;
      expect(shape).toEqual([1, ...expected.shape]);
      if (dtype === 'f32') expect(largestRelativeError(data, expected.data)).toBeLessThanOrEqual(2e-4);
      else expect(relativeL2(data, expected.data)).toBeLessThanOrEqual(2e-2);
    }
  });
});

it('takes a batch of pixel values as it is', async () => {
  const c = { key: '', height: 96, width: 128, imageSeed: 0.5 };
  const one = goldenImage(c);
  const two = goldenImage({ ...c, imageSeed: 1.5 });
  const both = new Float32Array([...one, ...two]);
  const input = await pixels('batch.safetensors', [2, 3, 96, 128], both);
  // Sizes that agree with what is there are no contradiction.
  await quiet(['encode', input, '--no-pad', '--longest-side', '128', '-o', 'batch-out.safetensors'], {
    cwd: folder,
  });
  const { shape, data } = (await tensors(path.join(folder, 'batch-out.safetensors'))).get(
    'image_embeddings',
  )!;
  expect(shape).toEqual([2, 256, 6, 8]);
  const single = await pixels('single.safetensors', [1, 3, 96, 128], two);
  await quiet(['encode', single, '-o', 'single-out.safetensors'], { cwd: folder });
  const alone = (await tensors(path.join(folder, 'single-out.safetensors'))).get('image_embeddings')!.data;
  expect(largestRelativeError(data.subarray(alone.length), alone)).toBeLessThanOrEqual(1e-4);
});

describe('images', () => {
  it.each([
    [[], [1, 256, 16, 16], { mode: 'paper', lengthScale: false, distance: null }],
    [['--no-pad'], [1, 256, 12, 16], { mode: 'paper', lengthScale: false, distance: null }],
    [
      ['--longest-side', '400', '--no-pad', '--length-scale'],
      [1, 256, 19, 25],
      { mode: 'paper', lengthScale: true, distance: null },
    ],
    // Without --slopes: the slope of ZERO_SHOT.
    [
      ['--distance', 'euclidean', '--start', '2.5'],
      [1, 256, 16, 16],
      {
        ...{ mode: 'paper', lengthScale: false },
        distance: { metric: 'euclidean', slopes: [0.1, 0.1, 0.1], start: 2.5 },
      },
    ],
    // alibi: 2^(−8i/H).
    [
      ['--distance', 'euclidean', '--slopes', 'alibi', '--start', '2.5'],
      [1, 256, 16, 16],
      {
        ...{ mode: 'paper', lengthScale: false },
        distance: { metric: 'euclidean', slopes: [2 ** (-8 / 3), 2 ** (-16 / 3), 2 ** -8], start: 2.5 },
      },
    ],
    [
      ['--distance', 'chebyshev', '--slopes', '0.5'],
      [1, 256, 16, 16],
      {
        ...{ mode: 'paper', lengthScale: false },
        distance: { metric: 'chebyshev', slopes: [0.5, 0.5, 0.5], start: 0 },
      },
    ],
    [
      ['--mode', 'released-code', '--longest-side', '1024', '--device', 'cpu'],
      [1, 256, 64, 64],
      { mode: 'released-code', lengthScale: true, distance: null },
    ],
  ] as [string[], number[], object][])('%j', async (args, expected, made) => {
    const output = path.join(folder, 'image.safetensors');
    await quiet(['encode', DEMO, ...args, '-o', output]);
    const { shape, data } = (await tensors(output)).get('image_embeddings')!;
    expect(shape).toEqual(expected);
    expect(data.every(Number.isFinite)).toBe(true);
    const info = await metadata(output);
    expect(info.settings).toEqual(made);
    expect(info.image).toEqual({ width: 768, height: 576 });
    expect(info.input).toEqual({ width: 16 * expected[3], height: 16 * expected[2] });
  });

  it('replaces an older file', async () => {
    const output = path.join(folder, 'older.safetensors');
    await quiet(['encode', DEMO, '--longest-side', '64', '-o', output]);
    await quiet(['encode', DEMO, '--longest-side', '96', '-o', output]);
    expect((await tensors(output)).get('image_embeddings')!.shape).toEqual([1, 256, 6, 6]);
  });

  it('says why a device cannot be used', async () => {
    const { status, stderr } = await baSam(['encode', DEMO, '--device', 'cuda:1', '-o', 'x.safetensors'], {
      cwd: folder,
    });
    // With a CUDA backend this may succeed on a machine with two GPUs.
    if (status !== 0) expect(stderr).toMatch(/^ba-sam: .*cuda:1.*\n$/);
  });
});
