// Ground truth in every kind of file that people store masks in.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { deflateSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, test } from 'vitest';
import { readMask } from '../../../lib/eval/datasets/mask';
import { readImageSize } from '../../../lib/image/header';
import { expectSamError } from '../../image/helpers';
import { tiff } from '../../support/tiff';
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

// Sample formats of TIFF: bits and SampleFormat (1 whole, 2 signed, 3 float), and what holds them.
const FORMATS = {
  uint8: [8, 1, Uint8Array, 255],
  int8: [8, 2, Int8Array, 127],
  uint16: [16, 1, Uint16Array, 65_535],
  int16: [16, 2, Int16Array, 32_767],
  uint32: [32, 1, Uint32Array, 2 ** 32 - 1],
  int32: [32, 2, Int32Array, 2 ** 31 - 1],
  float16: [16, 3, Float16, 255],
  float32: [32, 3, Float32Array, 255],
} as const;
type Format = keyof typeof FORMATS;
const WHOLE = (Object.keys(FORMATS) as Format[]).filter((name) => name.includes('int'));
const FLOAT: Format[] = ['float16', 'float32'];

/** Bits of half floats; the values of these tests are exact in it, but for those that are rounded to zero. */
function Float16(values: readonly number[]): Uint16Array {
  return Uint16Array.from(values, (value) => {
    const [bits] = new Uint32Array(Float32Array.of(value).buffer) as unknown as [number];
    if (value === 0) return 0;
    return ((bits >>> 16) & 0x8000) | ((((bits >>> 23) & 0xff) - 112) << 10) | ((bits >>> 13) & 0x3ff);
  });
}

test('GIF: the colour below transparency counts, and alpha where there is one colour only', async () => {
  // Two pixels with the first two colours of four; the first is transparent.
  const gif = (palette: string) =>
    Buffer.from(
      `47494638396102000100f10000${palette}00000000000021f90401000000002c0000000002000100000202440a003b`,
      'hex',
    );
  const file = path.join(folder, 'transparent.gif');
  for (const [palette, found] of [
    ['ffffff000000', [1, 0]],
    ['000000ffffff', [0, 1]],
    ['ffffffffffff', [0, 1]],
    ['c81e1e00ff00', [0, 1]],
  ] as const) {
    write(file, gif(palette));
    const mask = await readMask(file);
    expect({ palette, inside: [...mask.data] }).toEqual({ palette, inside: found });
  }
});

test('TIFF of 8-bit Lab: by its brightness', async () => {
  const file = path.join(folder, 'lab.tif');
  const lab = [...INSIDE.flatMap((v) => [255 * v, 0, 0])];
  for (const photometric of [8, 9] as const) {
    const data = Uint8Array.from(lab, (v, i) => (photometric === 9 && i % 3 > 0 ? v + 128 : v));
    write(file, tiff({ width: 4, height: 2, channels: 3, bits: 8, sampleFormat: 1, photometric, data }));
    const { data: inside, note } = await readMask(file);
    expect({ photometric, inside: [...inside], note }).toEqual({
      photometric,
      inside: INSIDE,
      note: undefined,
    });
  }
});

let files = 0;
async function readTiff(format: Format, values: readonly number[], channels = 1, alpha = false) {
  const [bits, sampleFormat, type] = FORMATS[format];
  const make = type as unknown as { from?: (v: readonly number[]) => Uint8Array } & ((
    v: readonly number[],
  ) => Uint8Array);
  const data = make.from ? make.from(values) : make(values);
  const file = path.join(folder, `format-${files++}.tif`);
  write(file, tiff({ width: 4, height: 2, channels, bits, sampleFormat, data, alpha }));
  return { file, mask: readMask(file) };
}
const expectInside = async (
  format: Format,
  values: readonly number[],
  channels?: number,
  alpha?: boolean,
) => {
  const mask = await (await readTiff(format, values, channels, alpha)).mask;
  expect({ format, inside: [...mask.data] }).toEqual({ format, inside: INSIDE });
  return mask.note;
};
const NOTE = 'masks of 0 and 1 are read as 0 and 255';

describe('every sample format by its own range', () => {
  test('0 and the largest value', async () => {
    for (const format of Object.keys(FORMATS) as Format[]) {
      const [, , , top] = FORMATS[format];
      expect(
        await expectInside(
          format,
          INSIDE.map((v) => v * top),
        ),
      ).toBeUndefined();
      expect(
        await expectInside(
          format,
          INSIDE.flatMap((v) => [v, v, v]).map((v) => v * top),
          3,
        ),
      ).toBeUndefined();
    }
  });

  test('0 and 1, and it is said', async () => {
    for (const format of WHOLE) {
      expect(await expectInside(format, INSIDE)).toBe(NOTE);
      expect(
        await expectInside(
          format,
          INSIDE.flatMap((v) => [v, v, v]),
          3,
        ),
      ).toBe(NOTE);
    }
    for (const format of ['uint8', 'uint16'] as const) {
      const opaque = FORMATS[format][3];
      expect(
        await expectInside(
          format,
          INSIDE.flatMap((v) => [v, opaque]),
          2,
          true,
        ),
      ).toBe(NOTE);
      expect(
        await expectInside(
          format,
          INSIDE.flatMap((v) => [v, v, v, opaque]),
          4,
          true,
        ),
      ).toBe(NOTE);
      expect(
        await expectInside(
          format,
          INSIDE.flatMap((v) => [7, v]),
          2,
          true,
        ),
      ).toBe(NOTE);
    }
  });

  test('floats up to 1 from 0.5 on, up to 255 from 128 on', async () => {
    for (const format of FLOAT) {
      const half = [0, 1, 0.5, 0.5625, 0.25, 0.75, 0.125, 1];
      expect(await expectInside(format, half)).toBeUndefined();
      expect(
        await expectInside(
          format,
          half.flatMap((v) => [v, v, v]),
          3,
        ),
      ).toBeUndefined();
      expect(await expectInside(format, GRAYS)).toBeUndefined();
    }
  });

  test('16 bits: the high byte decides', async () => {
    expect(
      await expectInside(
        'uint16',
        GRAYS.map((v) => v * 256 + 255),
      ),
    ).toBeUndefined();
    expect(
      await expectInside(
        'int16',
        GRAYS.map((v) => v * 128 + 127),
      ),
    ).toBeUndefined();
  });

  test('gray values of 1, 2 and 4 bits, as PNG stores them', async () => {
    for (const bits of [1, 2, 4]) {
      const file = path.join(folder, `gray-${bits}.png`);
      write(file, lowBitPng(bits, INSIDE));
      const { data, note } = await readMask(file);
      expect([...data]).toEqual(INSIDE);
      expect(note).toBe(bits === 1 ? undefined : NOTE);
      write(
        file,
        lowBitPng(
          bits,
          INSIDE.map((v) => v * (2 ** bits - 1)),
        ),
      );
      expect([...(await readMask(file)).data]).toEqual(INSIDE);
    }
  });

  test('nothing inside is empty in either reading', async () => {
    for (const format of Object.keys(FORMATS) as Format[]) {
      const { data, note } = await (
        await readTiff(
          format,
          INSIDE.map(() => 0),
        )
      ).mask;
      expect({ format, sum: data.reduce((a, b) => a + b), note }).toEqual({
        format,
        sum: 0,
        note: undefined,
      });
    }
  });

  test.each<[Format, number[], string]>([
    [
      'uint16',
      INSIDE.map((v) => 255 * v),
      '0 outside and 65535 inside (inside is ≥ 33024), or 0 and 1, but its largest value is 255',
    ],
    [
      'int16',
      INSIDE.map((v) => 255 * v),
      '0 outside and 32767 inside (inside is ≥ 16512), or 0 and 1, but its largest value is 255',
    ],
    ['uint16', INSIDE.map((v) => 33_023 * v), 'its largest value is 33023'],
    ['uint32', INSIDE.map((v) => 65_535 * v), 'its largest value is 65535'],
    ['uint8', INSIDE.map((v) => 2 * v), 'its largest value is 2'],
    ['uint8', INSIDE.map((v, i) => (i === 0 ? 2 : v)), 'its largest value is 2'],
    [
      'int16',
      INSIDE.map((v, i) => (i === 0 ? -1 : 32_767 * v)),
      'no value below 0, and no NaN, but its smallest value is -1',
    ],
    ['float32', INSIDE.map((v, i) => (i === 0 ? -1 : v)), 'its smallest value is -1'],
    ['float16', INSIDE.map((v, i) => (i === 0 ? -1 : v)), 'its smallest value is -1'],
    ['float16', INSIDE.map((v) => 100 * v), 'its largest value is 100'],
    ['float32', INSIDE.map((v, i) => (i === 2 ? Number.NaN : v)), 'its smallest value is NaN'],
    [
      'float32',
      INSIDE.map((v) => 100 * v),
      '0 outside and 255 inside (inside is > 128), or 0 and 1, but its largest value is 100',
    ],
    ['float32', INSIDE.map((v) => 65_535 * v), 'values of 0 … 1 or 0 … 255 but its largest value is 65535'],
    ['float32', INSIDE.map((v) => Number.POSITIVE_INFINITY * v || 0), 'its largest value is Infinity'],
    ['float32', INSIDE.map((v) => 0.4 * v), '0 outside and 1 inside (inside is > 0.5)'],
  ])('%s of %j is refused', async (format, values, message) => {
    const { file, mask } = await readTiff(format, values);
    await expectSamError(mask, 'ERR_IMAGE', message);
    await expectSamError(mask, 'ERR_IMAGE', `Cannot use ${file} as a mask: expected`);
  });

  test.each([
    [1, 'its largest gray value is 0'],
    [255, 'its largest gray value is 76'],
  ])('a red of %i, which luma makes too dark, is not empty in silence', async (red, message) => {
    const { mask } = await readTiff(
      'uint8',
      INSIDE.flatMap((v) => [red * v, 0, 0]),
      3,
    );
    await expectSamError(mask, 'ERR_IMAGE', message);
  });
});

describe('refused', () => {
  test('a mask that would count as empty', async () => {
    const file = path.join(folder, 'half.png');
    await pixels(
      INSIDE.map((v) => 128 * v),
      1,
    )
      .toColourspace('b-w')
      .png()
      .toFile(file);
    await expectSamError(
      readMask(file),
      'ERR_IMAGE',
      `Cannot use ${file} as a mask: expected 0 outside and 255 inside (inside is > 128), or 0 and 1, but its ` +
        'largest value is 128',
    );
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
    expect(await readImageSize(file)).toEqual({ width: 37, height: 23, orientation: 1 });
  });

  test('upright, as images are decoded', async () => {
    const file = path.join(folder, 'turned.jpg');
    await pixels(gray3, 3).jpeg().withMetadata({ orientation: 6 }).toFile(file);
    expect(await readImageSize(file)).toEqual({ width: 2, height: 4, orientation: 6 });
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
    expect(await readImageSize(file)).toEqual({ width, height, orientation: 1 });
  });

  test('a file that changed is read anew', async () => {
    const file = path.join(folder, 'changing.png');
    await drawImage(file, { width: 5, height: 5 });
    expect(await readImageSize(file)).toEqual({ width: 5, height: 5, orientation: 1 });
    writeFileSync(file, await pixels(gray3, 3).png().toBuffer());
    expect(await readImageSize(file)).toEqual({ width: 4, height: 2, orientation: 1 });
  });

  test('absurd sizes, directories', async () => {
    // A PNG header that claims 60000 × 60000 px.
    const head = Buffer.from(await pixels(GRAYS, 1).toColourspace('b-w').png().toBuffer());
    head.writeUInt32BE(60_000, 16);
    head.writeUInt32BE(60_000, 20);
    head.writeUInt32BE(crc32(head.subarray(12, 29)), 29);
    write(path.join(folder, 'absurd.png'), head);
    await expectSamError(
      readImageSize(path.join(folder, 'absurd.png')),
      'ERR_IMAGE',
      '60000 × 60000 px exceeds',
    );
    await expectSamError(readImageSize(folder), 'ERR_IO', 'it is a directory');
  });
});

/** A gray PNG of less than 8 bits, 4 × 2 px. */
function lowBitPng(bits: number, values: readonly number[]): Buffer {
  const rows = [values.slice(0, 4), values.slice(4)].map((row) => {
    const packed = row.reduce((sum, value) => (sum << bits) | value, 0) << (bits === 1 ? 4 : 0);
    return bits === 4 ? [0, packed >> 8, packed & 0xff] : [0, packed];
  });
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const framed = Buffer.alloc(body.length + 8);
    framed.writeUInt32BE(data.length);
    body.copy(framed, 4);
    framed.writeUInt32BE(crc32(body), body.length + 4);
    return framed;
  };
  const header = Buffer.from([0, 0, 0, 4, 0, 0, 0, 2, bits, 0, 0, 0, 0]);
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.from(rows.flat()))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
