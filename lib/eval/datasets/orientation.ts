// EXIF orientation: what it does to a size, how a picture is turned back, and pairs of which nobody can tell.
import { inBands, rowsPerBand } from '../../image/bands';
import { type ImageFrame, readImageSize } from '../../image/header';
import { decodeImage } from '../../image/load';
import type { RgbImage } from '../../image/types';
import type { ExifUse } from '../../options/evaluate';
import type { Size } from '../../size';
import type { Reading } from '../types';

/** The size of the pixels that are evaluated. */
export function sizeOf({ width, height, orientation }: ImageFrame, exif: ExifUse = 'apply'): Size {
  return exif === 'ignore' && swapsSides(orientation) ? { width: height, height: width } : { width, height };
}

export function isSame(a: Size, b: Size): boolean {
  return a.width === b.width && a.height === b.height;
}

/**
 * Whether an image and what belongs to it (a mask, or annotations, which have no orientation) fit together turned as well as
 * stored, and differ in the two.
 */
export function isAmbiguous(image: ImageFrame, other: ImageFrame): boolean {
  if (image.orientation === other.orientation) return false;
  return (['apply', 'ignore'] as const).every((exif) => isSame(sizeOf(image, exif), sizeOf(other, exif)));
}

/** What is behind the sizes in a message about two that differ, where the other use of EXIF would fit. */
export function exifAdvice(image: ImageFrame, other: ImageFrame, exif: ExifUse = 'apply'): string {
  const otherwise = exif === 'apply' ? 'ignore' : 'apply';
  return isSame(sizeOf(image, otherwise), sizeOf(other, otherwise))
    ? `; with exif ${otherwise} they fit`
    : '';
}

/**
 * Decodes the image of a sample.
 *
 * @throws SamError as `decodeImage`
 */
export async function decodeSample(
  path: string,
  { exif = 'apply', limitInputPixels }: Reading,
): Promise<RgbImage> {
  const image = await decodeImage(path, { limitInputPixels });
  return exif === 'apply'
    ? image
    : asStored(image, (await readImageSize(path, limitInputPixels)).orientation);
}

/**
 * Undoes an EXIF orientation.
 *
 * @param image upright, RGB
 * @param orientation 1 … 8
 * @returns the pixels as they are stored. Source: Exif 2.32, 4.6.4, tag Orientation
 */
async function asStored(image: RgbImage, orientation: number): Promise<RgbImage> {
  if (orientation === 1) return image;
  const swapped = swapsSides(orientation);
  const [width, height] = swapped ? [image.height, image.width] : [image.width, image.height];
  // Where a stored pixel lies upright: x and y may be swapped, then each may run backwards.
  const fromRight = [2, 3, 6, 7].includes(orientation);
  const fromBottom = [3, 4, 7, 8].includes(orientation);
  const [stepX, stepY] = [fromRight ? -1 : 1, fromBottom ? -image.width : image.width];
  const origin = (fromRight ? image.width - 1 : 0) + (fromBottom ? image.height - 1 : 0) * image.width;
  const [alongRow, alongColumn] = swapped ? [stepY, stepX] : [stepX, stepY];
  const data = new Uint8Array(image.data.length);
  await inBands(height, rowsPerBand(width), (begin, end) => {
    for (let y = begin; y < end; y++) {
      for (let x = 0; x < width; x++) {
        const from = 3 * (origin + x * alongRow + y * alongColumn);
        const to = 3 * (y * width + x);
        data[to] = image.data[from]!;
        data[to + 1] = image.data[from + 1]!;
        data[to + 2] = image.data[from + 2]!;
      }
    }
  });
  return { data, width, height };
}

function swapsSides(orientation: number): boolean {
  return orientation >= 5;
}
