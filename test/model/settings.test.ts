// BA-SAM's settings on the bundled model: what they change, what they must not change, what is refused.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EncodeOptions, Sam } from '../../lib/index';
import { alibiSlopes, lengthFactor, PLAIN, resolveSettings } from '../../lib/model/ba-sam';
import type { BaSamSettings } from '../../lib/options/settings';
import { largestRelativeError } from '../support/compare';

let sam: Sam;
beforeAll(async () => {
  sam = await Sam.load();
});
afterAll(() => sam.dispose());

function image(height: number, width: number, batch = 1, seed = 0) {
  const pixelValues = Float32Array.from({ length: batch * 3 * height * width }, (_, i) =>
    Math.sin(0.37 * (i % 9973) + seed),
  );
  return { pixelValues, shape: [batch, 3, height, width] as const };
}

const encode = async (size: [number, number], options: EncodeOptions = {}) =>
  (await sam.encode(image(...size), options)).data;

describe('length scale', () => {
  it('changes nothing at the trained grid, bit for bit', async () => {
    expect(await encode([256, 256], { lengthScale: true })).toEqual(await encode([256, 256]));
  });

  it('changes other grids', async () => {
    const error = largestRelativeError(
      await encode([384, 256], { lengthScale: true }),
      await encode([384, 256]),
    );
    expect(error).toBeGreaterThan(1e-4);
  });

  it('is ln(N) / ln(n0)', () => {
    const traits = { trainedGrid: 64, releasedCodeTokens: 4096 };
    const settings = resolveSettings({ lengthScale: true }, { heads: 12 });
    const factor = lengthFactor(settings, traits, { h: 128, w: 96 }, { width: 1536, height: 2048 });
    expect(factor).toBeCloseTo(Math.log(128 * 96) / Math.log(4096), 12);
  });
});

describe('distance penalty', () => {
  it('of slope 0 is plain SAM', async () => {
    for (const metric of ['manhattan', 'euclidean', 'chebyshev'] as const) {
      const flat = await encode([320, 192], { distance: { metric, slopes: 0 } });
      expect(largestRelativeError(flat, await encode([320, 192]))).toBeLessThanOrEqual(1e-5);
    }
  });

  it('that starts beyond the image is plain SAM', async () => {
    const far = await encode([320, 192], { distance: { metric: 'euclidean', slopes: 'alibi', start: 100 } });
    expect(largestRelativeError(far, await encode([320, 192]))).toBeLessThanOrEqual(1e-5);
  });

  it('takes one slope for all heads or one per head', async () => {
    const one = await encode([320, 192], { distance: { metric: 'manhattan', slopes: 0.1 } });
    const each = await encode([320, 192], { distance: { metric: 'manhattan', slopes: [0.1, 0.1, 0.1] } });
    expect(one).toEqual(each);
    expect(largestRelativeError(one, await encode([320, 192]))).toBeGreaterThan(1e-3);
  });

  it('knows ALiBi', () => {
    expect(alibiSlopes(8)).toEqual([0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]);
  });
});

describe('released-code', () => {
  it('multiplies by ln(k²·4096) / ln 4096 with k = ⌊side / 1024⌋', () => {
    const settings = resolveSettings({ mode: 'released-code' }, { heads: 3 });
    const traits = { trainedGrid: 16, releasedCodeTokens: 4096 };
    const factor = (side: number) =>
      lengthFactor(settings, traits, { h: 1, w: 1 }, { width: side, height: 16 });
    expect(factor(1024)).toBeCloseTo(1, 12);
    expect(factor(2047)).toBeCloseTo(1, 12);
    expect(factor(2048)).toBeCloseTo(Math.log(4 * 4096) / Math.log(4096), 12);
  });

  it('is refused below 1024 px and with a distance penalty', async () => {
    await expect(encode([256, 256], { mode: 'released-code' })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: 'Expected a longest side of at least 1024 px in mode released-code but received 256',
    });
    const distance = { metric: 'manhattan', slopes: 1 } as const;
    await expect(encode([256, 256], { mode: 'released-code', distance })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
  });
});

describe('a model without attention over all tokens', () => {
  const resolve = (settings: BaSamSettings) => resolveSettings(settings, { heads: null });

  it('takes neither a length scale nor a distance penalty', () => {
    expect(() => resolve({ lengthScale: true })).toThrow('Expected no length scale for a model without');
    const distance = { metric: 'manhattan', slopes: 1 } as const;
    expect(() => resolve({ distance })).toThrow('Expected no distance penalty for a model without');
  });

  it('is plain by default, and may be what the released code makes of it', () => {
    expect(resolve({})).toEqual(PLAIN);
    const settings = resolve({ mode: 'released-code' });
    const traits = { trainedGrid: 64, releasedCodeTokens: 1444 };
    const factor = lengthFactor(settings, traits, { h: 1, w: 1 }, { width: 2048, height: 2048 });
    expect(factor).toBeCloseTo(Math.log(4 * 1444) / Math.log(1444), 12);
  });
});

describe('settings given to load', () => {
  it('are the default of every call, and a call may override or remove them', async () => {
    const distance = { metric: 'manhattan', slopes: 0.1 } as const;
    const tuned = await Sam.load(undefined, { lengthScale: true, distance });
    const of = async (options: EncodeOptions) => (await tuned.encode(image(320, 192), options)).data;
    expect(await of({})).toEqual(await encode([320, 192], { lengthScale: true, distance }));
    expect(await of({ distance: null })).toEqual(await encode([320, 192], { lengthScale: true }));
    expect(await of({ lengthScale: false, distance: null })).toEqual(await encode([320, 192]));
    await tuned.dispose();
  });
});

describe('batch', () => {
  it('gives every image the result that it gets alone', async () => {
    const batch = await sam.encode(image(192, 320, 3));
    const size = 3 * 192 * 320;
    const all = image(192, 320, 3).pixelValues;
    for (let b = 0; b < 3; b++) {
      const pixelValues = all.slice(b * size, (b + 1) * size);
      const alone = await sam.encode({ pixelValues, shape: [1, 3, 192, 320] });
      expect(largestRelativeError(batch.at(b).data, alone.data)).toBeLessThanOrEqual(1e-5);
    }
    await expect(sam.predict(batch, { points: [[1, 1]] })).rejects.toThrow('use embedding.at(index)');
    expect((await sam.predict(batch.at(2), { points: [[1, 1]] })).masks.length).toBe(1);
  });
});

describe('bad settings', () => {
  const cases: [string, EncodeOptions, RegExp][] = [
    [
      'too few slopes',
      { distance: { metric: 'manhattan', slopes: [1, 2] } },
      /Expected 1 or 3 slopes .* received 2/,
    ],
    [
      'a negative slope',
      { distance: { metric: 'manhattan', slopes: -1 } },
      /number of at least 0 for .*slopes but received -1/,
    ],
    [
      'an unknown metric',
      { distance: { metric: 'cosine' as 'manhattan', slopes: 1 } },
      /Expected one of: manhattan, euclidean, chebyshev for options.distance.metric/,
    ],
    [
      'a slope that overflows',
      { distance: { metric: 'manhattan', slopes: 1e38 } },
      /at most 1e\+30 for .*slopes/,
    ],
    [
      'a negative start',
      { distance: { metric: 'manhattan', slopes: 1, start: -1 } },
      /number of at least 0 for options.distance.start/,
    ],
    [
      'a view of bytes',
      { distance: { metric: 'manhattan', slopes: new DataView(new ArrayBuffer(12)) as never } },
      /Expected a number of at least 0, an array or typed array .* for options.distance.slopes but received DataView/,
    ],
    ['NaN', { distance: { metric: 'manhattan', slopes: Number.NaN } }, /Expected/],
    ['an unknown option', { lenghtScale: true } as EncodeOptions, /Expected known options .* lenghtScale/],
    ['a side of 0', { longestSide: 0 }, /number of at least 1 for options.longestSide/],
    ['a fractional side', { longestSide: 12.5 }, /Expected integer for options.longestSide/],
    ['a huge side', { longestSide: 1e6 }, /number of at most 16384/],
    ['a bad signal', { signal: {} as AbortSignal }, /Expected AbortSignal for options.signal/],
    [
      'what only resembles a signal',
      { signal: { aborted: false, addEventListener() {}, removeEventListener() {} } as never },
      /Expected AbortSignal for options.signal/,
    ],
  ];
  it.each(cases)('%s', async (_, options, message) => {
    await expect(sam.encode(image(32, 32), options)).rejects.toMatchObject({
      name: 'SamError',
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    });
  });

  it.each([
    [
      'a side that is no multiple of the patch',
      { pixelValues: new Float32Array(3 * 100 * 32), shape: [1, 3, 100, 32] },
    ],
    ['four channels', { pixelValues: new Float32Array(4 * 32 * 32), shape: [1, 4, 32, 32] }],
    ['too few values', { pixelValues: new Float32Array(5), shape: [1, 3, 32, 32] }],
    ['an empty batch', { pixelValues: new Float32Array(0), shape: [0, 3, 32, 32] }],
    ['a plain array', { pixelValues: [1, 2, 3], shape: [1, 3, 32, 32] }],
    ['nothing', undefined],
    ['a number', 7],
  ])('pixel values: %s', async (_, input) => {
    await expect(sam.encode(input as never)).rejects.toMatchObject({ name: 'SamError' });
  });
});
