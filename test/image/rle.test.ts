// Run-length encoding, area and box against values that pycocotools wrote (make_fixtures.py).
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodeRle, decodeRleAsync, encodeRle, encodeRleAsync, maskArea, maskBox } from '../../lib/image/rle';
import { expectSamError, expectThrownSamError } from './helpers';

interface Case {
  size: [number, number];
  counts: string;
  area: number;
  box: [number, number, number, number];
  mask: string;
}
const cases: Case[] = JSON.parse(
  readFileSync(new URL('./fixtures/rle.expected.json', import.meta.url), 'utf8'),
);
const pixels = (c: Case) => Uint8Array.from(c.mask, Number);

describe('against pycocotools', () => {
  for (const [index, c] of cases.entries()) {
    const [height, width] = c.size;
    test(`mask ${index}, ${width} x ${height}`, async () => {
      const mask = pixels(c);
      expect(encodeRle(mask, width, height)).toEqual({ size: c.size, counts: c.counts });
      expect(await encodeRleAsync(mask, width, height)).toEqual({ size: c.size, counts: c.counts });
      expect(Buffer.compare(decodeRle(c), mask)).toBe(0);
      expect(maskArea(mask)).toBe(c.area);
      expect(maskBox(mask, width, height)).toEqual(c.box);
    });
  }

  test('a large mask lets other events run, and must stay in place', async () => {
    const [width, height] = [2000, 1501];
    const noise = () => new Uint8Array(width * height).map((_, i) => (Math.imul(i, 2654435761) >>> 13) & 1);
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    const rle = await encodeRleAsync(noise(), width, height);
    expect(turns).toBeGreaterThan(1);
    expect(Buffer.compare(decodeRle(rle), noise())).toBe(0);
    const before = turns;
    expect(Buffer.compare(await decodeRleAsync(rle), noise())).toBe(0);
    expect(turns - before).toBeGreaterThan(1);
    const mask = noise();
    setImmediate(() => structuredClone(mask.buffer, { transfer: [mask.buffer] }));
    const transferred = encodeRleAsync(mask, width, height);
    await expectSamError(transferred, 'ERR_INVALID_ARGUMENT', 'values (2000 x 1501) for mask but received 0');
    clearInterval(timer);
  });

  test('any value but 0 is inside, at any alignment', () => {
    for (const c of cases) {
      const [height, width] = c.size;
      const values = pixels(c).map((v, i) => (v === 0 ? 0 : 1 + (i % 255)));
      for (const shift of [0, 1, 2, 3]) {
        const mask = new Uint8Array(values.length + shift).subarray(shift);
        mask.set(values);
        expect(encodeRle(mask, width, height).counts).toBe(c.counts);
        expect(maskArea(mask)).toBe(c.area);
        expect(maskBox(mask, width, height)).toEqual(c.box);
      }
    }
  });
});

/** Of five runs, in ms. */
function fastest(run: () => unknown): number {
  const times = Array.from({ length: 5 }, () => {
    const start = performance.now();
    run();
    return performance.now() - start;
  });
  return Math.min(...times);
}

describe('round trips', () => {
  test('one pixel inside a large mask, and large runs', () => {
    const [width, height] = [5000, 3000];
    const mask = new Uint8Array(width * height);
    mask[2500 * width + 4321] = 255;
    const rle = encodeRle(mask, width, height);
    const back = decodeRle(rle);
    expect(maskArea(back)).toBe(1);
    expect(back[2500 * width + 4321]).toBe(1);
    expect(maskBox(mask, width, height)).toEqual([4321, 2500, 1, 1]);
  });

  test('a 12-megapixel mask takes little time', () => {
    const [width, height] = [4000, 3000];
    const mask = new Uint8Array(width * height);
    for (let y = 500; y < 2500; y++) mask.fill(1, y * width + 700, y * width + 3300 - (y % 50));
    // Walking down the columns took ten times as long.
    const looked = fastest(() => mask.indexOf(2));
    expect(fastest(() => encodeRle(mask, width, height)) / looked).toBeLessThan(20);
  });
});

describe('errors', () => {
  test('encode', () => {
    expectThrownSamError(
      () => encodeRle(new Uint8Array(5), 2, 3),
      'ERR_INVALID_ARGUMENT',
      'Expected 6 values (2 x 3) for mask but received 5',
    );
    expectThrownSamError(() => encodeRle([1] as never, 1, 1), 'ERR_INVALID_ARGUMENT', 'Uint8Array for mask');
    expectThrownSamError(() => encodeRle(new Uint8Array(0), 0, 1), 'ERR_INVALID_ARGUMENT', 'for width');
    expectThrownSamError(() => encodeRle(new Uint8Array(1), 1, 0.5), 'ERR_INVALID_ARGUMENT', 'for height');
    expectThrownSamError(() => maskBox(new Uint8Array(1), 2, 1), 'ERR_INVALID_ARGUMENT', 'for mask');
    expectThrownSamError(() => maskArea('1' as never), 'ERR_INVALID_ARGUMENT', 'Uint8Array for mask');
  });

  test('decode repairs nothing', () => {
    const bad = (rle: unknown, text: string) =>
      expectThrownSamError(() => decodeRle(rle as never), 'ERR_INVALID_ARGUMENT', text);
    bad(null, 'for rle but received null');
    bad({ size: [2], counts: '4' }, 'for rle.size');
    bad({ size: [2, -2], counts: '4' }, 'for width');
    bad({ size: ['2', 2], counts: '4' }, 'for height');
    bad({ size: [1e6, 1e6], counts: '4' }, 'at most 2147483647 pixels');
    bad({ size: [2, 2], counts: [4] }, 'for rle.counts');
    bad({ size: [2, 2], counts: '' }, 'their sum is 0 instead of height · width = 4');
    bad({ size: [2, 2], counts: '3' }, 'their sum is 3');
    bad({ size: [2, 2], counts: '5' }, 'the run at position 0 is 5 of 4 pixels');
    bad({ size: [2, 2], counts: '31 ' }, 'received " " at position 2');
    bad({ size: [2, 2], counts: '3é' }, 'received "é" at position 1');
    bad({ size: [2, 2], counts: 'T' }, 'the last number is cut off');
    bad({ size: [2, 2], counts: 'oooooooooooo0' }, 'too large');
    bad({ size: [2, 2], counts: '044' }, 'their sum is 8');
    bad({ size: [2, 2], counts: 'O' }, 'the run at position 0 is -1 of 4 pixels');
    expect([...decodeRle({ size: [2, 2], counts: '4' })]).toEqual([0, 0, 0, 0]);
    expect([...decodeRle({ size: [2, 2], counts: '13' })]).toEqual([0, 1, 1, 1]);
  });
});
