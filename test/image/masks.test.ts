// Unions, overlays and the files they are written to.
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { assertWritable } from '../../lib/files/writable';
import {
  overlay,
  promptColor,
  unionMasks,
  writeImage,
  writeMaskPng,
  writeOverlayPng,
} from '../../lib/image/masks';
import { encodeRleAsync } from '../../lib/image/rle';
import type { RgbImage } from '../../lib/image/types';
import { longestTurn } from '../support/event-loop';
import { expectSamError } from './helpers';

const W = 40;
const H = 30;
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ba-sam-masks-'));
});
afterAll(() => rm(dir, { recursive: true }));

const gray = (value = 100): RgbImage => ({
  data: new Uint8Array(W * H * 3).fill(value),
  width: W,
  height: H,
});

function rectangle(x0: number, y0: number, x1: number, y1: number, value = 1): Uint8Array {
  const mask = new Uint8Array(W * H);
  for (let y = y0; y < y1; y++) mask.fill(value, y * W + x0, y * W + x1);
  return mask;
}

const at = (image: RgbImage, x: number, y: number) => [
  ...image.data.subarray(3 * (y * image.width + x), 3 * (y * image.width + x) + 3),
];

describe('unionMasks', () => {
  test('is 1 where any mask is not 0', async () => {
    const union = await unionMasks([
      Uint8Array.from([0, 1, 0, 255]),
      Uint8Array.from([0, 0, 7, 1]),
      new Uint8Array(4),
    ]);
    expect([...union]).toEqual([0, 1, 1, 1]);
  });

  test('needs masks of one length', async () => {
    await expectSamError(unionMasks([]), 'ERR_INVALID_ARGUMENT', 'at least one mask for masks');
    await expectSamError(
      unionMasks([new Uint8Array(4), new Uint8Array(5)]),
      'ERR_INVALID_ARGUMENT',
      'Expected 4 values for masks.1 but received 5',
    );
  });
});

describe('overlay', () => {
  test('mixes the colour inside, draws the contour, leaves the rest and the input alone', async () => {
    const image = gray();
    const color = [255, 0, 50] as const;
    const result = await overlay(image, [{ data: rectangle(10, 5, 30, 20), color }]);
    expect(at(result, 9, 10)).toEqual([100, 100, 100]);
    expect(at(result, 10, 10)).toEqual([...color]); // contour
    expect(at(result, 29, 19)).toEqual([...color]);
    expect(at(result, 30, 19)).toEqual([100, 100, 100]);
    expect(at(result, 20, 12)).toEqual([178, 50, 75]); // half
    expect(new Set(image.data)).toEqual(new Set([100]));
  });

  test('the border of the image is no contour', async () => {
    const color = [0, 0, 0] as const;
    const result = await overlay(gray(), [{ data: rectangle(0, 0, W, 10), color }], { alpha: 0, contour: 2 });
    expect(at(result, 0, 0)).toEqual([100, 100, 100]);
    expect(at(result, W - 1, 5)).toEqual([100, 100, 100]);
    expect(at(result, 20, 7)).toEqual([100, 100, 100]);
    expect(at(result, 20, 8)).toEqual([0, 0, 0]);
    expect(at(result, 20, 9)).toEqual([0, 0, 0]);
  });

  test('a one-pixel gap has a contour however thick that is', async () => {
    const mask = rectangle(0, 0, W, H);
    mask[15 * W + 20] = 0;
    const result = await overlay(gray(), [{ data: mask, color: [0, 0, 0] }], { alpha: 0, contour: 3 });
    expect(at(result, 20, 15)).toEqual([100, 100, 100]);
    for (const [x, y] of [
      [19, 15],
      [21, 15],
      [20, 14],
      [20, 16],
    ] as const) {
      expect(at(result, x, y)).toEqual([0, 0, 0]);
    }
  });

  test('masks of one prompt share a colour, prompts differ', async () => {
    const layers = [
      { data: rectangle(0, 0, 10, H), prompt: 3 },
      { data: rectangle(10, 0, 20, H), prompt: 3 },
      { data: rectangle(20, 0, 30, H), prompt: 4 },
    ];
    const result = await overlay(gray(), layers, { alpha: 1, contour: 0 });
    expect(at(result, 5, 5)).toEqual([...promptColor(3)]);
    expect(at(result, 15, 5)).toEqual([...promptColor(3)]);
    expect(at(result, 25, 5)).toEqual([...promptColor(4)]);
    const colors = Array.from({ length: 40 }, (_, i) => promptColor(i));
    expect(new Set(colors.map(String)).size).toBe(40);
    for (const value of colors.flat())
      expect(Number.isInteger(value) && value >= 0 && value <= 255).toBe(true);
    for (let i = 1; i < 40; i++) {
      const distance = Math.hypot(...[0, 1, 2].map((c) => colors[i]![c]! - colors[i - 1]![c]!));
      expect(distance).toBeGreaterThan(80);
    }
  });

  test('points: green for 1, red for 0, nothing for padding, clipped at the border', async () => {
    const points = [
      [10, 10, 1],
      [30, 20, 0],
      [20, 5, -1],
      [-2, 29, 1],
      [500, 500, 1],
    ] as const;
    const result = await overlay(gray(), [], { points });
    const [r1, g1] = at(result, 10, 10);
    expect(g1! - r1!).toBeGreaterThan(100);
    const [r0, g0] = at(result, 30, 20);
    expect(r0! - g0!).toBeGreaterThan(100);
    expect(at(result, 20, 5)).toEqual([100, 100, 100]);
    expect(at(result, 15, 10)).toEqual([255, 255, 255]); // the ring
    expect(at(result, 0, 29)).not.toEqual([100, 100, 100]);
  });

  test('boxes, whatever the order of their corners, partly outside', async () => {
    const result = await overlay(gray(), [], {
      boxes: [[30, 25, 5, 5] as const, [-10, -10, 20, 100] as const],
    });
    for (const [x, y] of [
      [5, 15],
      [30, 15],
      [12, 5],
      [12, 25],
    ] as const) {
      expect(at(result, x, y)).toEqual([...promptColor(0)]);
    }
    expect(at(result, 20, 20)).toEqual([...promptColor(1)]);
    expect(at(result, 12, 15)).toEqual([100, 100, 100]);
  });

  test('rejects wrong arguments', async () => {
    const bad = (promise: Promise<unknown>, text: string) =>
      expectSamError(promise, 'ERR_INVALID_ARGUMENT', text);
    await bad(overlay({ ...gray(), width: 41 }, []), 'for image.data');
    await bad(overlay(gray(), [{ data: new Uint8Array(3) }]), 'Expected 1200 values (40 x 30) for mask');
    await bad(overlay(gray(), [], { alpha: 1.5 }), 'number of at most 1 for options.alpha');
    await bad(overlay(gray(), [], { alpha: Number.NaN }), 'for options.alpha');
    await bad(overlay(gray(), [], { contour: -1 }), 'for options.contour');
    await bad(overlay(gray(), [], { points: [[Number.NaN, 1, 1]] }), 'for options.points.0');
    await bad(overlay(gray(), [], { boxes: [[0, 0, Number.POSITIVE_INFINITY, 1]] }), 'for options.boxes.0');
    await bad(overlay(gray(), [], { points: [null] as never }), 'for options.points.0');
    await bad(overlay(gray(), [], { boxs: [] } as never), 'Expected known options');
    await bad(overlay(gray(), null as never), 'for masks');
    await bad(overlay(undefined as never, []), 'for image');
    const layer = { data: new Uint8Array(W * H), color: [1, 2] as never };
    await bad(overlay(gray(), [layer]), 'for masks.0.color');
  });

  test('12 megapixels do not stall the event loop', async () => {
    const [width, height] = [4000, 3000];
    const image = { data: new Uint8Array(width * height * 3).fill(90), width, height };
    const masks = [0, 1].map((prompt) => ({ data: new Uint8Array(width * height).fill(1), prompt }));
    await overlay(gray(), [{ data: rectangle(0, 0, W, H) }]);
    const longest = await longestTurn(async () => {
      await overlay(image, masks);
      await unionMasks(masks.map((mask) => mask.data));
    });
    expect(longest).toBeLessThan(0.3);
    const noise = masks[0]!.data.map((_, i) => (Math.imul(i, 2654435761) >>> 13) & 1);
    const rle = await encodeRleAsync(noise, width, height);
    expect(await longestTurn(() => overlay(image, [{ data: rle }]))).toBeLessThan(0.2);
  });

  test('a mask of another size is refused before memory is taken for it', async () => {
    const data = { size: [46_000, 46_000] as [number, number], counts: '' };
    await expectSamError(
      overlay(gray(), [{ data }]),
      'ERR_INVALID_ARGUMENT',
      'Expected [30, 40] for mask.size',
    );
  });
});

describe('files', () => {
  test('a mask is one channel of 0 and 255', async () => {
    const mask = rectangle(3, 4, 12, 15);
    mask[0] = 200;
    for (const name of ['mask.png', 'mask.PNG', 'mask.webp']) {
      const path = join(dir, name);
      await writeMaskPng(path, mask, W, H);
      const { data, info } = await sharp(path).extractChannel(0).raw().toBuffer({ resolveWithObject: true });
      expect([info.width, info.height]).toEqual([W, H]);
      expect(
        Buffer.compare(
          data,
          mask.map((v) => (v === 0 ? 0 : 255)),
        ),
      ).toBe(0);
    }
    expect(await sharp(join(dir, 'mask.png')).metadata()).toMatchObject({ channels: 1, depth: 'uchar' });
  });

  test('overlays in every format', async () => {
    for (const [name, format] of [
      ['o.png', 'png'],
      ['o.jpg', 'jpeg'],
      ['o.JPEG', 'jpeg'],
      ['o.webp', 'webp'],
    ] as const) {
      const path = join(dir, name);
      await writeOverlayPng(path, gray(), [{ data: rectangle(5, 5, 20, 20) }]);
      expect(await sharp(path).metadata()).toMatchObject({ format, width: W, height: H, channels: 3 });
    }
    const expected = await overlay(gray(), [{ data: rectangle(5, 5, 20, 20) }]);
    const { data } = await sharp(join(dir, 'o.png')).raw().toBuffer({ resolveWithObject: true });
    expect(Buffer.compare(data, expected.data)).toBe(0);
  });

  test('unknown extensions are refused before anything is written', async () => {
    for (const name of ['o.bmp', 'o', 'o.png.txt', '.png']) {
      const promise = writeOverlayPng(join(dir, name), gray(), []);
      await expectSamError(
        promise,
        'ERR_INVALID_ARGUMENT',
        'ends in .png, .jpg, .jpeg or .webp for output',
        name,
      );
    }
    const promise = writeMaskPng(join(dir, 'mask.jpg'), new Uint8Array(1), 1, 1);
    await expectSamError(promise, 'ERR_INVALID_ARGUMENT', 'mask that ends in .png or .webp');
    await expect(stat(join(dir, 'mask.jpg'))).rejects.toThrow('ENOENT');
    await expectSamError(
      writeImage(join(dir, 'x.png'), { ...gray(), height: 7 }),
      'ERR_INVALID_ARGUMENT',
      'image.data',
    );
  });

  test('assertWritable', async () => {
    await assertWritable(join(dir, 'new.png'));
    await expect(stat(join(dir, 'new.png'))).rejects.toThrow('ENOENT');
    await writeFile(join(dir, 'old.png'), 'old');
    await assertWritable(join(dir, 'old.png'));
    expect(await readFile(join(dir, 'old.png'), 'utf8')).toBe('old');
    const bad = (path: string, text: string) =>
      expectSamError(assertWritable(path), 'ERR_IO', `Cannot write ${path}: `, text);
    await bad(join(dir, 'nowhere', 'a.png'), `the directory ${join(dir, 'nowhere')} does not exist`);
    await bad(join(dir, 'old.png', 'a.png'), 'is not a directory');
    await bad(join(dir, 'old.png', 'b', 'a.png'), 'not a directory');
    await mkdir(join(dir, 'd.png'));
    await bad(join(dir, 'd.png'), 'it is a directory');
    await expectSamError(assertWritable(''), 'ERR_INVALID_ARGUMENT', 'for output');
    await expectSamError(
      writeMaskPng(join(dir, 'nowhere', 'a.png'), new Uint8Array(1), 1, 1),
      'ERR_IO',
      'does not exist',
    );
  });

  // Root may write anywhere.
  test.skipIf(process.getuid?.() === 0)('assertWritable respects permissions', async () => {
    await mkdir(join(dir, 'locked'));
    await chmod(join(dir, 'locked'), 0o500);
    await expectSamError(assertWritable(join(dir, 'locked', 'a.png')), 'ERR_IO', 'is not writable');
    await writeFile(join(dir, 'read-only.png'), '');
    await chmod(join(dir, 'read-only.png'), 0o400);
    await expectSamError(assertWritable(join(dir, 'read-only.png')), 'ERR_IO', 'permission denied');
  });
});
