// Writes images to files: formats by extension.
import { extname } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { invalidArgument, SamError } from '../errors';
import { replaceFile } from '../files/outputs';
import { isTypedArray } from '../options/validate';
import { sizeText } from '../size';
import { copyInSlices } from '../time-slice';
import { checkMask, checkSize } from './rle';
import type { RgbImage } from './types';

/** Formats that can be written, by extension. */
const FORMATS: Readonly<Record<string, 'png' | 'jpeg' | 'webp'>> = {
  '.png': 'png',
  '.jpg': 'jpeg',
  '.jpeg': 'jpeg',
  '.webp': 'webp',
};

/**
 * The format that a path's extension asks for.
 *
 * @throws SamError `ERR_INVALID_ARGUMENT` when it is none of .png, .jpg, .jpeg, .webp
 */
export function outputFormat(path: string): 'png' | 'jpeg' | 'webp' {
  if (typeof path !== 'string' || path === '') throw invalidArgument('output', 'path', path);
  const format = FORMATS[extname(path).toLowerCase()];
  if (format === undefined) {
    throw invalidArgument('output', 'path that ends in .png, .jpg, .jpeg or .webp', path);
  }
  return format;
}

// Largest width and height, px: WebP has 14 bits for them; libjpeg refuses more than 65500.
const LARGEST_SIDE: Readonly<Record<string, number>> = { webp: 16383, jpeg: 65500 };

/**
 * Refuses a size that the format of a path cannot hold.
 *
 * @throws SamError `ERR_INVALID_ARGUMENT`, as {@link outputFormat} and for too long a side
 */
export function checkOutputSize(path: string, width: number, height: number): void {
  const format = outputFormat(path);
  const most = LARGEST_SIDE[format];
  if (most === undefined || Math.max(width, height) <= most) return;
  throw new SamError(
    'ERR_INVALID_ARGUMENT',
    `Expected sides of at most ${most} px for ${path}, as ${format === 'webp' ? 'WebP' : 'JPEG'} has them, but received ` +
      `${sizeText({ width, height })}; .png has no such limit`,
  );
}

/**
 * Writes an RGB image; the extension says in which format (.png, .jpg, .jpeg, .webp).
 *
 * @param image pixels that nobody transfers before the promise settles
 * @throws SamError `ERR_INVALID_ARGUMENT` for another extension or a wrong length of data, `ERR_IO` when writing fails
 */
export async function writeImage(path: string, image: RgbImage): Promise<void> {
  const format = outputFormat(path);
  const { data, width, height } = checkRgb(image);
  checkOutputSize(path, width, height);
  const pipeline = sharp(data, { raw: { width, height, channels: 3 }, limitInputPixels: false });
  await write(path, format === 'png' ? pipeline.png() : pipeline.toFormat(format, { quality: 90 }));
}

/** @throws SamError ERR_INVALID_ARGUMENT for what is no 8-bit RGB image */
export function checkRgb(image: RgbImage): RgbImage {
  if (typeof image !== 'object' || image === null) throw invalidArgument('image', 'RGB image', image);
  const { data, width, height } = image;
  checkSize(width, height);
  if (!isTypedArray(data, 'Uint8Array') || data.length !== width * height * 3) {
    throw invalidArgument('image.data', `Uint8Array of ${width} x ${height} x 3 values`, data);
  }
  return image;
}

/**
 * Writes a mask as a one-channel image, 0 outside and 255 inside: .png, or .webp without loss.
 *
 * @param mask `[height, width]`, row-major; any value but 0 is inside
 * @throws SamError `ERR_INVALID_ARGUMENT` for another extension or a wrong length, `ERR_IO` when writing fails
 */
export async function writeMaskPng(
  path: string,
  mask: Uint8Array,
  width: number,
  height: number,
): Promise<void> {
  const format = outputFormat(path);
  // JPEG would smear the edge into values that are neither inside nor outside.
  if (format === 'jpeg') throw invalidArgument('output', 'path of a mask that ends in .png or .webp', path);
  checkMask(mask, width, height);
  checkOutputSize(path, width, height);
  // libvips reads on threads of its own, where a buffer that is transferred meanwhile would be freed memory.
  const own = await copyInSlices(mask, 'mask');
  const pipeline = sharp(own, { raw: { width, height, channels: 1 }, limitInputPixels: false })
    .threshold(1, { grayscale: false })
    .toColourspace('b-w');
  await write(path, format === 'png' ? pipeline.png() : pipeline.webp({ lossless: true }));
}

async function write(path: string, pipeline: Sharp): Promise<void> {
  await replaceFile(path, async (temporary) => {
    try {
      await pipeline.toFile(temporary);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new SamError('ERR_IO', `Cannot write ${temporary}: ${reason}`, { cause });
    }
  });
}
