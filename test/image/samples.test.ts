// Sample types and colours that libvips reads in another way than PIL, or not at all.
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeImage } from '../../lib/image/load';
import { tiff as writeTiff } from '../support/tiff';
import { expectSamError } from './helpers';

interface TiffKind {
  readonly samples: number;
  readonly bits: number;
  readonly format: 1 | 2 | 3;
  readonly photometric: 1 | 2 | 8 | 9;
}

/** A TIFF of one row of pixels. */
function tiff({ samples, bits, format, photometric }: TiffKind, data: ArrayBufferView): Buffer {
  const width = data.byteLength / (samples * (bits / 8));
  return writeTiff({ width, height: 1, channels: samples, bits, sampleFormat: format, photometric, data });
}

const pixels = async (bytes: Uint8Array) => [...(await decodeImage(bytes)).data];

describe('float TIFFs', () => {
  const kind = (samples: number): TiffKind => ({
    samples,
    bits: 32,
    format: 3,
    photometric: samples < 3 ? 1 : 2,
  });
  const floats = (samples: number, ...values: number[]) => tiff(kind(samples), Float32Array.from(values));

  test('0 … 1 is times 255, rounded', async () => {
    expect(await pixels(floats(1, 0, 0.5, 113 / 255, 1))).toEqual(
      [0, 128, 113, 255].flatMap((v) => [v, v, v]),
    );
    expect(await pixels(floats(3, 0.5, 0.25, 0.75, 0, 1, 0.1))).toEqual([128, 64, 191, 0, 255, 26]);
  });
  test('0 … 255 is as it is, rounded', async () => {
    expect(await pixels(floats(1, 0, 0.5, 113, 255))).toEqual([0, 1, 113, 255].flatMap((v) => [v, v, v]));
    expect(await pixels(floats(3, 50, 25.4, 75, 0, 255, 1))).toEqual([50, 25, 75, 0, 255, 1]);
  });
  test('alpha is dropped, whatever its values', async () => {
    expect(await pixels(floats(2, 0.5, 300, 1, -1))).toEqual([128, 128, 128, 255, 255, 255]);
    expect(await pixels(floats(4, 0, 1, 0.1, Number.NaN))).toEqual([0, 255, 26]);
  });
  test('other values are refused', async () => {
    for (const value of [-0.5, 255.5, 65535, Number.NaN, Number.POSITIVE_INFINITY]) {
      const text = `expected float samples between 0 and 1, or 0 and 255, but found ${value}`;
      await expectSamError(decodeImage(floats(1, 0.5, value)), 'ERR_IMAGE', text);
    }
  });
});

test('samples that do not say what is white are refused by name', async () => {
  const cases: [number, 1 | 2 | 3, ArrayBufferView, string][] = [
    [8, 2, Int8Array.of(1, -1), 'signed integers of 8 bits'],
    [16, 2, Int16Array.of(1, 300), 'signed integers of 16 bits'],
    [32, 2, Int32Array.of(1, 300), 'signed integers of 32 bits'],
    [32, 1, Uint32Array.of(1, 300), 'unsigned integers of 32 bits'],
    [16, 3, Uint16Array.of(0x3c00, 0x3800), 'floats of 16 bits'],
    [64, 3, Float64Array.of(0, 1), 'samples of 64 bits'],
  ];
  for (const [bits, format, data, found] of cases) {
    const image = decodeImage(tiff({ samples: 1, bits, format, photometric: 1 }, data));
    await expectSamError(image, 'ERR_IMAGE', 'expected unsigned integers of 8 or 16 bits', found);
  }
});

describe('8-bit Lab', () => {
  // sRGB by skimage.color.lab2rgb.
  const cases: [lab: [number, number, number], rgb: [number, number, number]][] = [
    [
      [87, -24, 10],
      [39, 90, 64],
    ],
    [
      [134, 60, 49],
      [227, 68, 43],
    ],
    [
      [124, 61, 45],
      [215, 54, 42],
    ],
    [
      [255, 0, 0],
      [255, 255, 255],
    ],
    [
      [0, 0, 0],
      [0, 0, 0],
    ],
  ];
  const lab = cases.flatMap(([values]) => values);
  const rgb = cases.flatMap(([, values]) => values);

  test('CIE Lab: a and b are signed', async () => {
    const found = await pixels(tiff({ samples: 3, bits: 8, format: 1, photometric: 8 }, Int8Array.from(lab)));
    for (const [i, value] of rgb.entries()) expect(Math.abs(found[i] - value)).toBeLessThanOrEqual(3);
  });
  test('ICC Lab: 128 is added to them', async () => {
    const data = Uint8Array.from(lab, (value, i) => (i % 3 === 0 ? value : value + 128));
    const found = await pixels(tiff({ samples: 3, bits: 8, format: 1, photometric: 9 }, data));
    for (const [i, value] of rgb.entries()) expect(Math.abs(found[i] - value)).toBeLessThanOrEqual(3);
  });
  test('agrees with libvips about the same values in 16 bits', async () => {
    const wide = Int16Array.from(lab, (value, i) => (i % 3 === 0 ? value * 257 : value * 256));
    const expected = await pixels(tiff({ samples: 3, bits: 16, format: 1, photometric: 8 }, wide));
    const found = await pixels(tiff({ samples: 3, bits: 8, format: 1, photometric: 8 }, Int8Array.from(lab)));
    for (const [i, value] of expected.entries()) expect(Math.abs(found[i] - value)).toBeLessThanOrEqual(3);
  });
  test('the given bytes stay as they are', async () => {
    const bytes = tiff({ samples: 3, bits: 8, format: 1, photometric: 8 }, Int8Array.from(lab));
    const before = Buffer.from(bytes);
    await decodeImage(bytes);
    expect(bytes.equals(before)).toBe(true);
  });
  test('ICC Lab of 16 bits is refused by name', async () => {
    const bytes = tiff({ samples: 3, bits: 16, format: 1, photometric: 9 }, new Uint16Array(3));
    await expectSamError(decodeImage(bytes), 'ERR_IMAGE', 'ICC Lab of 16 bits');
  });
});

describe('transparent GIF', () => {
  // A comment, then two pixels of a palette of four colours; the first, white, is transparent.
  const gif = Buffer.from(
    '47494638396102000100f10000ffffffc81e1e00000000000021fe03616263' + // header, palette, comment
      '0021f90401000000002c000000000200010000' + // transparency, picture
      '0202440a003b',
    'hex',
  );

  test('pixels keep their stored colour, as in PNG', async () => {
    const before = Buffer.from(gif);
    expect((await sharp(gif).metadata()).hasAlpha).toBe(true);
    expect(await pixels(gif)).toEqual([255, 255, 255, 200, 30, 30]);
    expect(gif.equals(before)).toBe(true);
  });
});
