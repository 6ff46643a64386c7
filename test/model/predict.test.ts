// The whole path on the CPU, image file to masks, against the float64 reference: every kind of prompt.
import { createHash } from 'node:crypto';
import path from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Embedding, encodeRle, maskArea, maskBox, Sam } from '../../lib/index';
import type { Prediction } from '../../lib/masks';
import type { Prompt } from '../../lib/prompts';
import { largestRelativeError } from '../support/compare';
import {
  demoCases,
  expectedOf,
  flattened,
  named,
  type PredictCase,
  predictCase,
  sharedCases,
} from '../support/predict-cases';

const ROOT = path.join(__dirname, '..', '..');

let sam: Sam;
beforeAll(async () => {
  sam = await Sam.load(undefined, { device: 'cpu' });
});
afterAll(() => sam.dispose());

async function check(c: PredictCase): Promise<void> {
  const expected = await expectedOf(c);
  const predictions = await predictCase(sam, c);
  const actual = flattened(predictions);
  expect(actual.iou.length).toBe(expected.iou.length);
  expect(actual.low.length).toBe(expected.low.length);
  expect(largestRelativeError(actual.low, expected.low)).toBeLessThanOrEqual(2e-4);
  expect(largestRelativeError(actual.iou, expected.iou)).toBeLessThanOrEqual(2e-4);
  const masks = predictions.flatMap((prediction) => prediction.masks);
  // A pixel whose logit is within rounding of 0 may fall on either side.
  for (const [m, area] of c.areas.flat().entries()) {
    const pixels = masks[m].data.reduce((sum, value) => sum + value, 0);
    expect(Math.abs(pixels - area)).toBeLessThanOrEqual(3);
  }
  for (const { best, masks: all } of predictions) {
    expect(best.score).toBe(Math.max(...all.map((mask) => mask.score)));
  }
}

describe('demo picture', () => {
  it.each(named(demoCases))('%s', async (_name, c) => check(c));
});

describe.skipIf(sharedCases.length === 0)('pictures beside the repository', () => {
  it.each(named(sharedCases))('%s', async (_name, c) => check(c));
});

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

  it('gives the same masks whichever embedding came before', async () => {
    const image = path.join(ROOT, 'examples', 'images', 'demo.png');
    const embeddings = [
      await sam.encode(image),
      await sam.encode(image, { longestSide: 384, pad: false }),
      await sam.encode(image, { distance: { metric: 'euclidean', slopes: 0.5 } }), // the grid of the first
    ];
    const point = { points: [[200, 200]] } satisfies Prompt;
    const alone = await Promise.all(
      embeddings.map(async (embedding) => {
        // Without any history: an embedding of its own memory, in a model of its own.
        const fresh = await Sam.load(undefined, { device: 'cpu' });
        const copy = new Embedding(embedding.data.slice(), embedding.shape, embedding);
        const { best } = await fresh.predict(copy, point);
        await fresh.dispose();
        return best.lowRes;
      }),
    );
    for (const i of [0, 0, 1, 2, 2, 0, 1]) {
      expect((await sam.predict(embeddings[i], point)).best.lowRes).toEqual(alone[i]);
    }
    const atOnce = await Promise.all([0, 1, 2, 0].map((i) => sam.predict(embeddings[i], point)));
    expect(atOnce.map(({ best }) => best.lowRes)).toEqual([0, 1, 2, 0].map((i) => alone[i]));
  });

  it('is not disturbed by an aborted call on the same embedding', async () => {
    const embedding = await sam.encode(path.join(ROOT, 'examples', 'images', 'demo.png'));
    const controller = new AbortController();
    const aborted = sam.predict(embedding, { points: [[200, 200]] }, { signal: controller.signal });
    const other = sam.predict(embedding, { points: [[200, 200]] });
    controller.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    const again = await sam.predict(embedding, { points: [[200, 200]] });
    expect((await other).best.lowRes).toEqual(again.best.lowRes);
  });

  it('rejects at once when it is aborted behind an encode', async () => {
    const image = path.join(ROOT, 'examples', 'images', 'demo.png');
    const embedding = await sam.encode(image);
    let encoded = false;
    const busy = sam.encode(image, { longestSide: 1536 }).then(() => {
      encoded = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const controller = new AbortController();
    const waiting = sam.predict(embedding, { points: [[200, 200]] }, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    expect(encoded).toBe(false);
    await busy;
  });

  it('takes typed arrays, and neither keeps nor changes what it is given', async () => {
    const image = path.join(ROOT, 'examples', 'images', 'demo.png');
    const distance = (slopes: number[] | Float64Array) => ({ metric: 'manhattan', slopes }) as const;
    const slopes = Float64Array.of(0.1, 0.2, 0.3);
    const encoding = sam.encode(image, { distance: distance(slopes) });
    slopes.fill(9);
    const embedding = await encoding;
    expect(embedding.settings.distance?.slopes).toEqual([0.1, 0.2, 0.3]);
    const plain = await sam.encode(image, { distance: distance([0.1, 0.2, 0.3]) });
    expect(Buffer.from(embedding.data.buffer).equals(Buffer.from(plain.data.buffer))).toBe(true);

    const { best } = await sam.predict(embedding, { points: [[200, 200]] });
    const mask = best.lowRes.slice();
    const arrays: Prompt = {
      points: [
        [470, 150],
        [200, 200, 0],
      ],
      box: [385, 36, 555, 362],
      mask: best.lowRes,
    };
    const typed = {
      points: [Int16Array.of(470, 150), Float32Array.of(200, 200, 0)],
      box: Float32Array.of(385, 36, 555, 362),
      mask,
    };
    // The first of the two is decoded before the mask of the second is looked at.
    const predicting = sam.predict(embedding, [{ points: [[320, 440]] }, typed]);
    for (const array of [...typed.points, typed.box, mask]) {
      expect(Object.isFrozen(array)).toBe(false);
      array.fill(1);
    }
    expect(Object.isFrozen(typed) || Object.isFrozen(typed.points)).toBe(false);
    const expected = (await sam.predict(embedding, arrays)).best;
    expect((await predicting)[1].best.lowRes).toEqual(expected.lowRes);
    expect(Object.isFrozen(arrays.points) || Object.isFrozen(arrays.box)).toBe(false);

    await expect(sam.predict(embedding, { points: Float32Array.of(1, 2) as never })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message:
        'Expected an array of points [x, y] or [x, y, label] for prompt.points but received Float32Array(2) of type Float32Array',
    });
  });

  it('leaves full-size masks out on request', async () => {
    const embedding = await sam.encode(path.join(ROOT, 'examples', 'images', 'demo.png'));
    const { best } = await sam.predict(embedding, { points: [[200, 200]] }, { fullSize: false });
    expect(best.data.length).toBe(0);
    expect(best.lowRes.length).toBe(64 * 64);
  });

  it('gives logits at the size of the photograph, above 0 where the masks are', async () => {
    const embedding = await sam.encode(path.join(ROOT, 'examples', 'images', 'demo.png'));
    // Two batches: the second prompt has more tokens than the others.
    const prompts: Prompt[] = [
      { points: [[200, 200]] },
      { points: [[470, 150]], box: [385, 36, 555, 362] },
      { box: [430, 320, 685, 505] },
    ];
    const masks = await sam.predict(embedding, prompts, { multimask: true });
    const both = await sam.predict(embedding, prompts, { multimask: true, logits: true });
    const alone = await sam.predict(embedding, prompts, { multimask: true, logits: true, fullSize: false });
    const bytes = (array: Uint8Array | Float32Array | undefined) =>
      Buffer.from(array!.buffer, array!.byteOffset, array!.byteLength);
    for (const [i, { masks: expected }] of masks.entries()) {
      for (const [m, { data, width, height, logits }] of expected.entries()) {
        expect(logits).toBeUndefined();
        const found = both[i].masks[m];
        expect(bytes(found.data).equals(bytes(data))).toBe(true);
        expect(found.logits).toBeInstanceOf(Float32Array);
        expect(found.logits!.length).toBe(width * height);
        expect(found.data.every((inside, p) => (found.logits![p] > 0 ? 1 : 0) === inside)).toBe(true);
        expect(alone[i].masks[m].data.length).toBe(0);
        expect(bytes(alone[i].masks[m].logits).equals(bytes(found.logits))).toBe(true);
        const single = await sam.upsampleLogits(embedding, found);
        expect(bytes(single).equals(bytes(found.logits))).toBe(true);
      }
    }
  });

  it('gives run lengths instead of bitmaps, the same masks', async () => {
    const embedding = await sam.encode(path.join(ROOT, 'examples', 'images', 'demo.png'));
    const prompts: Prompt[] = [{ points: [[200, 200]] }, { box: [430, 320, 685, 505] }];
    for (const logits of [false, true]) {
      const bitmaps = await sam.predict(embedding, prompts, { multimask: true, logits });
      const runs = await sam.predict(embedding, prompts, { multimask: true, logits, format: 'rle' });
      for (const [i, { masks }] of bitmaps.entries()) {
        for (const [m, { data, width, height, score }] of masks.entries()) {
          const found = runs[i].masks[m];
          expect(found.data.length).toBe(0);
          expect(found.rle).toEqual(encodeRle(data, width, height));
          expect(found.area).toBe(maskArea(data));
          expect(found.bbox).toEqual(maskBox(data, width, height));
          expect(found.score).toBe(score);
          expect(found.logits?.length).toBe(logits ? width * height : undefined);
          expect(masks[m].rle).toBeUndefined();
        }
      }
    }
    const [none] = await sam.predict(embedding, prompts, { format: 'rle', fullSize: false });
    expect(none.best.rle).toBeUndefined();
  });

  it('refuses to scale logits up that are of another grid, or none', async () => {
    const image = path.join(ROOT, 'examples', 'images', 'demo.png');
    const embedding = await sam.encode(image, { longestSide: 384 });
    const lowRes = new Float32Array(64 * 64);
    await expect(sam.upsampleLogits(embedding, { lowRes })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(/^Expected Float32Array of 9216 values for mask.lowRes but received/),
    });
    await expect(sam.upsampleLogits(embedding, undefined as never)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
    const signal = AbortSignal.abort(new Error('enough'));
    const square = { lowRes: new Float32Array(96 * 96) };
    await expect(sam.upsampleLogits(embedding, square, { signal })).rejects.toThrow('enough');
  });
});

describe('predictEach', () => {
  let embedding: Embedding;
  beforeAll(async () => {
    embedding = await sam.encode(path.join(ROOT, 'examples', 'images', 'demo.png'), { longestSide: 256 });
  });
  // Of three kinds, more than a batch.
  const prompts: Prompt[] = Array.from({ length: 100 }, (_, i) =>
    i % 3 === 0
      ? { points: [[7 * i, 5 * i]] }
      : i % 3 === 1
        ? { box: [i, i, i + 200, i + 90] }
        : { points: [[i, i]], box: [0, 0, 300, 300] },
  );
  const later = async function* (list: readonly Prompt[]) {
    for (const prompt of list) {
      await new Promise((resolve) => setImmediate(resolve));
      yield prompt;
    }
  };
  const digest = (array: Uint8Array | Float32Array) =>
    createHash('sha256')
      .update(Buffer.from(array.buffer, array.byteOffset, array.byteLength))
      .digest('hex');
  const fingerprint = ({ masks, best }: Prediction) => [
    masks.indexOf(best),
    masks.map(({ data, lowRes, logits, ...rest }) => ({
      ...rest,
      ...{ data: digest(data), lowRes: digest(lowRes), logits: logits && digest(logits) },
    })),
  ];
  const collect = async (each: AsyncIterable<Prediction>) => {
    const all: unknown[] = [];
    for await (const prediction of each) all.push(fingerprint(prediction));
    return all;
  };

  it('gives what predict gives, in order, for lists, iterables and asynchronous ones', async () => {
    for (const format of ['bitmap', 'rle'] as const) {
      const expected = (await sam.predict(embedding, prompts, { format, multimask: true })).map(fingerprint);
      const sources = [prompts, new Set(prompts), later(prompts), Readable.from(prompts)];
      for (const source of sources) {
        const found = await collect(sam.predictEach(embedding, source, { format, multimask: true }));
        expect(found).toEqual(expected);
      }
    }
    expect(await collect(sam.predictEach(embedding, []))).toEqual([]);
  });

  it('gives each prediction memory of its own, which may be transferred', async () => {
    for (const format of ['bitmap', 'rle'] as const) {
      const few = prompts.slice(0, 4);
      const wanted = (await sam.predict(embedding, few, { format, logits: true })).map(fingerprint);
      const found: unknown[] = [];
      for await (const one of sam.predictEach(embedding, few, { format, logits: true })) {
        found.push(fingerprint(one));
        const { lowRes, logits } = one.best;
        expect(logits!.buffer.byteLength).toBe(logits!.byteLength);
        structuredClone(0, { transfer: [lowRes.buffer as ArrayBuffer, logits!.buffer as ArrayBuffer] });
      }
      expect(found).toEqual(wanted);
    }
  });

  it('reports progress of a list, and profiles', async () => {
    const fractions: number[] = [];
    const onProgress = (fraction: number) => fractions.push(fraction);
    for await (const _ of sam.predictEach(embedding, prompts.slice(0, 4), { onProgress }));
    expect(fractions).toEqual([0.25, 0.5, 0.75, 1]);
  });

  it('gives what comes before a wrong prompt, then its error', async () => {
    let closed = false;
    const source = (function* () {
      try {
        yield* [prompts[0], prompts[1], { box: [1, 2, 3] } as never, prompts[2]];
      } finally {
        closed = true;
      }
    })();
    const each = sam.predictEach(embedding, source);
    expect((await each.next()).done).toBe(false);
    expect((await each.next()).done).toBe(false);
    await expect(each.next()).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining('prompts.2.box'),
    });
    expect(closed).toBe(true);
    expect((await each.next()).done).toBe(true);
  });

  it('passes on what a source throws, after what came before', async () => {
    const failing = (async function* () {
      yield prompts[0];
      throw new Error('connection lost');
    })();
    const each = sam.predictEach(embedding, failing);
    expect((await each.next()).done).toBe(false);
    await expect(each.next()).rejects.toThrow('connection lost');
  });

  it.each([
    ['at once', () => undefined],
    ['later', () => Promise.resolve(undefined)],
  ])('refuses an iterator that gives no result, %s', async (_, next) => {
    const broken = { [Symbol.asyncIterator]: () => ({ next }) } as unknown as AsyncIterable<Prompt>;
    await expect(sam.predictEach(embedding, broken).next()).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining('the result of next() of prompts'),
    });
  });

  it('reads no further than it is asked, and closes its source when it is left', async () => {
    let read = 0;
    let closed = false;
    const source = (function* () {
      try {
        for (;;) {
          read++;
          yield prompts[0];
        }
      } finally {
        closed = true;
      }
    })();
    let seen = 0;
    for await (const _ of sam.predictEach(embedding, source)) if (++seen === 3) break;
    expect(closed).toBe(true);
    expect(read).toBeLessThanOrEqual(65);
  });

  it('ends at once when it is aborted, also while it waits for a prompt', async () => {
    const controller = new AbortController();
    const silent = (async function* () {
      yield prompts[0];
      await new Promise(() => {});
    })();
    const each = sam.predictEach(embedding, silent, { signal: controller.signal });
    await each.next();
    const next = each.next();
    controller.abort(new Error('enough'));
    await expect(next).rejects.toThrow('enough');
  });

  it('refuses what is no list of prompts', async () => {
    for (const wrong of [undefined, 5, {}, { points: [[1, 2]] }, 'prompts']) {
      const each = sam.predictEach(embedding, wrong as never);
      await expect(each.next()).rejects.toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
        message: expect.stringContaining('Expected iterable of prompts for prompts but received'),
      });
    }
    const each = sam.predictEach(embedding, [], { format: 'polygon' as never });
    await expect(each.next()).rejects.toThrow('Expected one of: bitmap, rle for options.format');
  });
});
