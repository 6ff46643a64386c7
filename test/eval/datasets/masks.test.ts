// Ground truth in every kind of file that people store masks in.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, test } from 'vitest';
import { readMask } from '../../../lib/eval/datasets/mask';
import { readImageSize } from '../../../lib/image/header';
import { expectSamError } from '../../image/helpers';
import { drawImage, temporaryFolder, write } from './draw';

const folder = temporaryFolder();
// Both sides of the threshold, in two rows of four.
const GRAYS = [0, 255, 128, 129, 127, 130, 1, 254];
const INSIDE = [0, 1, 0, 1, 0, 1, 0, 1];

function pixels(
  values: readonly number[],
  channels: 1 | 2 | 3 | 4,
  type: typeof Uint8Array | typeof Uint16Array = Uint8Array,
): Sharp {
  return sharp(type.from(values), { raw: { width: 4, height: 2, channels } });
}

async function inside(name: string, image: Sharp): Promise<number[]> {
  const file = path.join(folder, name);
  await image.toFile(file);
  const mask = await readMask(file);
  expect([mask.width, mask.height]).toEqual([4, 2]);
  return [...mask.data];
}

const gray3 = GRAYS.flatMap((v) => [v, v, v]);

describe('inside is above 128', () => {
  test.each<[string, () => Sharp]>([
    ['gray.png', () => pixels(GRAYS, 1).toColourspace('b-w').png()],
    ['gray.tif', () => pixels(GRAYS, 1).toColourspace('b-w').tiff({ compression: 'none' })],
    ['gray.jpg', () => pixels(GRAYS, 1).toColourspace('b-w').jpeg({ quality: 100 })],
    ['rgb.png', () => pixels(gray3, 3).png()],
    ['lossless.webp', () => pixels(gray3, 3).webp({ lossless: true })],
    ['palette.png', () => pixels(gray3, 3).png({ palette: true })],
    // The low byte alone decides nothing: 128·256 + 255 is outside.
    [
      'gray16.png',
      () =>
        pixels(
          GRAYS.map((v) => v * 256 + 255),
          1,
          Uint16Array,
        )
          .toColourspace('grey16')
          .png(),
    ],
    [
      'rgb16.png',
      () =>
        pixels(
          gray3.map((v) => v * 256 + 255),
          3,
          Uint16Array,
        )
          .toColourspace('rgb16')
          .png(),
    ],
    [
      'gray-alpha.png',
      () =>
        pixels(
          GRAYS.flatMap((v) => [v, 255 - v]),
          2,
        )
          .toColourspace('b-w')
          .png(),
    ],
    [
      'rgba.png',
      () =>
        pixels(
          GRAYS.flatMap((v) => [v, v, v, 255 - v]),
          4,
        ).png(),
    ],
  ])('%s', async (name, image) => {
    expect(await inside(name, image())).toEqual(INSIDE);
  });

  test('colours by their luma: blue is dark, yellow is light', async () => {
    const [blue, yellow, red, green] = [
      [0, 0, 255],
      [255, 255, 0],
      [255, 0, 0],
      [0, 255, 0],
    ];
    const values = [blue, yellow, red, green, green, red, yellow, blue].flatMap((v) => v!);
    const expected = [0, 1, 0, 1, 1, 0, 1, 0];
    expect(await inside('colours.png', pixels(values, 3).png())).toEqual(expected);
    expect(await inside('colours-palette.png', pixels(values, 3).png({ palette: true }))).toEqual(expected);
  });

  test('a mask in alpha under one colour is alpha', async () => {
    const black = GRAYS.flatMap((v) => [0, 0, 0, v]);
    expect(await inside('black-alpha.png', pixels(black, 4).png())).toEqual(INSIDE);
    const white = GRAYS.flatMap((v) => [255, v]);
    expect(await inside('white-alpha.png', pixels(white, 2).toColourspace('b-w').png())).toEqual(INSIDE);
    // With one alpha value, colour counts again.
    for (const gray of [0, 255]) {
      const opaque = GRAYS.flatMap(() => [gray, gray, gray, 255]);
      expect(await inside(`opaque-${gray}.png`, pixels(opaque, 4).png())).toEqual(
        INSIDE.map(() => gray / 255),
      );
    }
  });

  test('an empty mask is a mask', async () => {
    expect(
      await inside(
        'empty.png',
        pixels(
          GRAYS.map(() => 0),
          1,
        )
          .toColourspace('b-w')
          .png(),
      ),
    ).toEqual(INSIDE.map(() => 0));
  });

  test('rows and columns stay apart in a large mask, and the event loop turns', async () => {
    const [width, height] = [3001, 2003];
    const data = new Uint8Array(width * height);
    for (let y = 0; y < height; y++) data.fill(255, y * width + y, y * width + y + 3);
    const file = path.join(folder, 'large.png');
    await sharp(data, { raw: { width, height, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toFile(file);
    const mask = await readMask(file);
    expect([mask.width, mask.height]).toEqual([width, height]);
    expect(
      Buffer.compare(
        mask.data,
        data.map((v) => v / 255),
      ),
    ).toBe(0);
  });
});

describe('refused', () => {
  test('a mask of 0 and 1, which would count as empty', async () => {
    const file = path.join(folder, 'ones.png');
    await pixels(INSIDE, 1).toColourspace('b-w').png().toFile(file);
    await expectSamError(
      readMask(file),
      'ERR_IMAGE',
      `Cannot use ${file} as a mask: expected 0 outside and 255 inside (inside is > 128) but its largest value is 1`,
    );
    await pixels(
      INSIDE.map((v) => 128 * v),
      1,
    )
      .toColourspace('b-w')
      .png()
      .toFile(path.join(folder, 'half.png'));
    await expectSamError(readMask(path.join(folder, 'half.png')), 'ERR_IMAGE', 'its largest value is 128');
  });

  test('files that are no images, are empty, damaged or not there', async () => {
    write(path.join(folder, 'a.svg.png'), '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>');
    await expectSamError(readMask(path.join(folder, 'a.svg.png')), 'ERR_IMAGE', 'it starts with "<svg');
    write(path.join(folder, 'empty-file.png'), '');
    await expectSamError(readMask(path.join(folder, 'empty-file.png')), 'ERR_IMAGE', 'it is empty');
    const whole = await pixels(gray3, 3).png().toBuffer();
    write(path.join(folder, 'cut.png'), whole.subarray(0, whole.length - 30));
    await expectSamError(readMask(path.join(folder, 'cut.png')), 'ERR_IMAGE', 'cut.png');
    await expectSamError(readMask(path.join(folder, 'nowhere.png')), 'ERR_IO', 'no such file');
  });
});

describe('sizes from headers', () => {
  test.each(['jpg', 'png', 'webp', 'tif', 'gif', 'avif'])('%s', async (extension) => {
    const file = path.join(folder, `size.${extension}`);
    await drawImage(file, { width: 37, height: 23 });
    expect(await readImageSize(file)).toEqual({ width: 37, height: 23 });
  });

  test('upright, as images are decoded', async () => {
    const file = path.join(folder, 'turned.jpg');
    await pixels(gray3, 3).jpeg().withMetadata({ orientation: 6 }).toFile(file);
    expect(await readImageSize(file)).toEqual({ width: 2, height: 4 });
  });

  test('behind more data than is read at first', async () => {
    // A TIFF written row by row has its header at the end.
    const [width, height] = [400, 300];
    const noise = Uint8Array.from({ length: width * height }, (_, i) => (i * 2654435761) >>> 24);
    const file = path.join(folder, 'late.tif');
    await sharp(noise, { raw: { width, height, channels: 1 } })
      .toColourspace('b-w')
      .tiff({ compression: 'none' })
      .toFile(file);
    expect(await readImageSize(file)).toEqual({ width, height });
  });

  test('a file that changed is read anew', async () => {
    const file = path.join(folder, 'changing.png');
    await drawImage(file, { width: 5, height: 5 });
    expect(await readImageSize(file)).toEqual({ width: 5, height: 5 });
    writeFileSync(file, await pixels(gray3, 3).png().toBuffer());
    expect(await readImageSize(file)).toEqual({ width: 4, height: 2 });
  });

  test('absurd sizes, directories', async () => {
    // A PNG header that claims 60000 x 60000 px.
    const head = Buffer.from(await pixels(GRAYS, 1).toColourspace('b-w').png().toBuffer());
    head.writeUInt32BE(60_000, 16);
    head.writeUInt32BE(60_000, 20);
    head.writeUInt32BE(crc32(head.subarray(12, 29)), 29);
    write(path.join(folder, 'absurd.png'), head);
    await expectSamError(
      readImageSize(path.join(folder, 'absurd.png')),
      'ERR_IMAGE',
      '60000 x 60000 px exceeds',
    );
    await expectSamError(readImageSize(folder), 'ERR_IO', 'it is a directory');
  });
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
