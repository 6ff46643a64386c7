// What an embedding's file may say: every field is checked against the tensor, the other fields and the model.
import { statSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Embedding, type EmbeddingInfo, Sam, writeSafetensors } from '../../lib/index';
import { temporaryFolder } from '../support/folder';

const folder = temporaryFolder();
const file = path.join(folder, 'e.safetensors');
let sam: Sam;
beforeAll(async () => {
  sam = await Sam.load(undefined, { device: 'cpu' });
});
afterAll(async () => {
  await sam.dispose();
});

const px = (width: number, height = width) => ({ width, height });
const distance = (slopes: unknown, rest: object = {}) => ({
  settings: {
    mode: 'paper',
    lengthScale: false,
    distance: { metric: 'euclidean', slopes, start: 0 },
    ...rest,
  },
});
const GOOD = {
  image: px(100, 75),
  content: px(64, 48),
  input: px(64),
  settings: { mode: 'paper', lengthScale: false, distance: null },
  dtype: 'f32',
};

/** Writes an embedding of 4 × 4 tokens of 16 px. */
async function write(change: object, values: Float32Array = new Float32Array(256 * 16).fill(0.1)) {
  const side = Math.sqrt(values.length / 256);
  await writeSafetensors(
    file,
    [{ name: 'image_embeddings', dtype: 'f32', shape: [1, 256, side, side], data: values }],
    { format: 'ba-sam-embedding-1', info: JSON.stringify({ ...GOOD, ...change }) },
  );
}

const CONTRADICTIONS: [string, object, RegExp][] = [
  [
    'an input beyond the grid',
    { content: px(4096, 3072), input: px(4096, 4000) },
    /of 4 × 4 tokens for info\.input/,
  ],
  [
    'an input below the grid',
    { content: px(1), input: px(1) },
    /of 4 × 4 tokens for info\.input .* 1 × 1 px/,
  ],
  ['oblong patches', { input: px(128, 64) }, /of 4 × 4 tokens for info\.input .* 128 × 64 px/],
  [
    'a content beyond the input',
    { content: px(80, 60) },
    /at most 64 like info\.input for info\.content\.width/,
  ],
  ['a content beyond it in height', { content: px(64, 99) }, /info\.content\.height but received 99/],
  [
    'a content unlike the image',
    { image: px(1000, 10) },
    /64 × 1 px like an image of 1000 × 10 px for info\.content/,
  ],
  ['a stretched content', { content: px(64, 46) }, /64 × 48 px .* for info\.content but received 64 × 46 px/],
  ['an image of 0 px', { image: px(0, 1) }, /for info\.image\.width/],
  ['an image of fractions', { image: px(99.5, 75) }, /for info\.image\.width/],
  ['a negative slope', distance([1, -1, 1]), /for info\.settings\.distance\.slopes\.1/],
  ['a slope that overflows', distance([1, 1e38, 1]), /for info\.settings\.distance\.slopes\.1/],
  ['no slopes', distance([]), /for info\.settings\.distance\.slopes/],
  ['100,000 slopes', distance(new Array(1e5).fill(1)), /for info\.settings\.distance\.slopes/],
  [
    'a penalty of the released code',
    distance([1, 1, 1], { mode: 'released-code' }),
    /info\.settings\.distance/,
  ],
  ['an unknown mode', distance([1, 1, 1], { mode: 'fast' }), /for info\.settings\.mode/],
  ['an unknown dtype', { dtype: 'f64' }, /for info\.dtype/],
  ['a word for f8', { f8: 'yes' }, /for info\.f8/],
];

describe('a file', () => {
  it.each(CONTRADICTIONS)('with %s is refused, and the field named', async (_name, change, message) => {
    await write(change);
    const error = await Embedding.load(file).catch((reason) => reason);
    expect(error).toMatchObject({ name: 'SamError', code: 'ERR_EMBEDDING' });
    expect(error.message).toMatch(message);
    expect(error.message.startsWith(`${file}: expected `)).toBe(true);
  });

  it('with unknown fields, too many of them, or none is refused', async () => {
    await write({ colour: 'red' });
    await expect(Embedding.load(file)).rejects.toThrow(/known options for info but received colour/);
    await write({ colour: 'r'.repeat(2 ** 20) });
    await expect(Embedding.load(file)).rejects.toThrow(/at most 1048576 characters/);
    await write({ image: undefined });
    await expect(Embedding.load(file)).rejects.toThrow(/for info\.image/);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('with %s is refused', async (value) => {
    await write({}, new Float32Array(256 * 16).fill(value, 4000, 4001));
    await expect(Embedding.load(file)).rejects.toMatchObject({
      code: 'ERR_EMBEDDING',
      message: `${file}: expected finite values for image_embeddings but found others`,
    });
  });

  it('that is cut off is refused as an embedding, too', async () => {
    await write({});
    truncateSync(file, 100);
    await expect(Embedding.load(file)).rejects.toMatchObject({ code: 'ERR_EMBEDDING' });
    await expect(Embedding.load(path.join(folder, 'gone'))).rejects.toMatchObject({ code: 'ERR_IO' });
  });

  it('of 1.4 kB cannot ask for masks of gigabytes, unless the caller raises the limit', async () => {
    await write({ image: px(40_000), content: px(16), input: px(16) }, new Float32Array(256).fill(0.1));
    expect(statSync(file).size).toBeLessThan(1500);
    await expect(Embedding.load(file)).rejects.toThrow(
      /expected at most \d+ px \(limitInputPixels\) for info\.image but found 40000 × 40000$/,
    );
    const { image } = await Embedding.load(file, { limitInputPixels: 40_000 ** 2 });
    expect(image).toEqual(px(40_000));
    await expect(Embedding.load(file, { limitInputPixels: 40_000 ** 2 - 1 })).rejects.toThrow(
      'limitInputPixels',
    );
    await expect(Embedding.load(file, { limitInputPixels: 0 })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
  });

  it.each([
    ['of one image in many', { image: px(1), content: px(64) }],
    ['padded to more than a square', { content: px(48, 36) }],
    ['with halves rounded the other way', { content: px(64, 47) }],
    ['with another patch', { content: px(32, 24), input: px(32) }],
    ['with slopes for another model', distance([1, 2])],
  ])('%s is read', async (_name, change) => {
    await write(change);
    expect(await Embedding.load(file)).toMatchObject(change);
  });
});

describe('a model', () => {
  const point = { points: [[5, 5]] } as const;

  it.each([
    [
      'another patch',
      { content: px(32, 24), input: px(32) },
      /64 × 64 px \(patches of 16 px\) for embedding\.input but received 32 × 32 px/,
    ],
    [
      'other slopes',
      distance(new Array(999).fill(1)),
      /3 of them for embedding\.settings\.distance\.slopes but received 999/,
    ],
  ])('refuses an embedding with %s', async (_name, change, message) => {
    await write(change);
    await expect(sam.predict(await Embedding.load(file), point)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    });
  });

  it('takes what fits', async () => {
    await write(distance([1, 2, 3]));
    expect((await sam.predict(await Embedding.load(file), point)).best.data.length).toBe(7500);
  });
});

describe('the constructor', () => {
  const data = new Float32Array(256 * 16);
  const shape = [1, 256, 4, 4] as const;

  it.each(CONTRADICTIONS)('refuses %s', (_name, change, message) => {
    const info = { ...GOOD, ...change } as EmbeddingInfo;
    expect(() => new Embedding(data, shape, info)).toThrow(message);
  });

  it('refuses data that do not fit their shape', () => {
    const info = GOOD as EmbeddingInfo;
    for (const wrong of [data.subarray(1), new Float64Array(4096), [...data], null]) {
      expect(() => new Embedding(wrong as Float32Array, shape, info)).toThrow(
        /^Expected Float32Array of 4096 values .* for data but received/,
      );
    }
    for (const wrong of [[1, 256, 4], [1, 256, 4, -4], [1, 256, 4, 4, 1], [0, 256, 4, 4], 'abcd', null]) {
      expect(() => new Embedding(data, wrong as never, info)).toThrow(/^Expected .* for shape/);
    }
  });

  it('keeps nothing of its arguments but the data', () => {
    const info = structuredClone({ ...GOOD, ...distance([1, 2, 3]) }) as EmbeddingInfo;
    const mine = [...shape] as [number, number, number, number];
    const embedding = new Embedding(data, mine, info);
    mine[0] = 7;
    Object.assign(info.image, px(1));
    (info.settings.distance!.slopes as number[])[0] = -1;
    expect(embedding).toMatchObject({ shape, image: GOOD.image, ...distance([1, 2, 3]) });
    expect(embedding.data).toBe(data);
  });
});
