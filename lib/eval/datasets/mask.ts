// Ground-truth masks from image files of any kind: gray, palette, colour, with alpha, 16 bit.
import sharp from 'sharp';
import { SamError } from '../../errors';
import { inBands, rowsPerBand } from '../../image/bands';
import { checkFormat, checkPixels, DEFAULT_PIXEL_LIMIT, decodeError, readImageFile } from '../../image/load';
import type { BinaryMask } from '../types';

/** Values above this are inside, as PySODMetrics and the released code of most benchmarks have it. */
const THRESHOLD = 128;

/**
 * Reads a ground-truth mask: a pixel is inside when its gray value is above 128 of 255.
 *
 * - 16-bit values lose their low byte first.
 * - Colours, a palette's included, become gray as PIL's `convert('L')` makes them (ITU-R 601-2 luma).
 * - Alpha is ignored, as PIL and OpenCV ignore it, unless the picture has only one gray value and alpha has several:
 *   then alpha is the mask.
 * - EXIF orientation is applied, as it is to images.
 *
 * @returns `[height, width]`, 0 or 1
 * @throws SamError `ERR_IO`, `ERR_IMAGE`; `ERR_IMAGE` also when there are values above 0 but none above 128, as in
 *   masks that are stored as 0 and 1: such a mask would count as empty
 */
export async function readMask(path: string): Promise<BinaryMask> {
  const { data, width, height, channels } = await decode(await readImageFile(path), path);
  const gray = channels === 1 ? data : await toGray(data, width, height, channels);
  const mask = new Uint8Array(width * height);
  let largest = 0;
  await inBands(height, rowsPerBand(width), (begin, end) => {
    for (let i = begin * width; i < end * width; i++) {
      const value = gray[i]!;
      if (value > THRESHOLD) mask[i] = 1;
      if (value > largest) largest = value;
    }
  });
  if (largest > 0 && largest <= THRESHOLD) {
    throw new SamError(
      'ERR_IMAGE',
      `Cannot use ${path} as a mask: expected 0 outside and 255 inside (inside is > ${THRESHOLD}) but its largest ` +
        `value is ${largest}`,
    );
  }
  return { data: mask, width, height };
}

interface Pixels {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** 1 gray, 3 RGB, 4 RGB + alpha. */
  readonly channels: number;
}

async function decode(bytes: Uint8Array, path: string): Promise<Pixels> {
  checkFormat(bytes, path);
  try {
    const header = await sharp(bytes, { limitInputPixels: false }).metadata();
    checkPixels(header.width, header.height, path, DEFAULT_PIXEL_LIMIT);
    const { data, info } = await sharp(bytes, {
      failOn: 'error',
      autoOrient: true,
      limitInputPixels: false,
      ignoreIcc: header.space !== 'cmyk',
    })
      // Not for other gray images: on the way to b-w, libvips rounds 16-bit values and drops alpha.
      .toColourspace(header.channels === 1 && header.depth === 'uchar' ? 'b-w' : 'srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    if (data.length !== info.width * info.height * info.channels) {
      throw new SamError('ERR_INTERNAL', `Expected ${info.channels} 8-bit channels in ${path}`);
    }
    return { data, width: info.width, height: info.height, channels: info.channels };
  } catch (cause) {
    throw decodeError(path, cause);
  }
}

async function toGray(
  data: Uint8Array,
  width: number,
  height: number,
  channels: number,
): Promise<Uint8Array> {
  const gray = new Uint8Array(width * height);
  const hasAlpha = channels === 4;
  const alpha = data[3];
  let oneGray = true;
  let oneAlpha = true;
  await inBands(height, rowsPerBand(width), (begin, end) => {
    for (let i = begin * width, p = i * channels; i < end * width; i++, p += channels) {
      const value = (data[p]! * 19595 + data[p + 1]! * 38470 + data[p + 2]! * 7471 + 0x8000) >> 16;
      gray[i] = value;
      if (value !== gray[0]) oneGray = false;
      if (hasAlpha && data[p + 3] !== alpha) oneAlpha = false;
    }
  });
  if (!hasAlpha || !oneGray || oneAlpha) return gray;
  await inBands(height, rowsPerBand(width), (begin, end) => {
    for (let i = begin * width; i < end * width; i++) gray[i] = data[4 * i + 3]!;
  });
  return gray;
}
