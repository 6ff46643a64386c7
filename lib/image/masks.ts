// Masks as pictures: unions, overlays on the image, files.
import { z } from 'zod';
import { invalidArgument, SamError } from '../errors';
import { type Color, layerSchema, type OverlayOptions, overlaySchema } from '../options/overlay';
import { isTypedArray, type NumericArray, parse } from '../options/validate';
import { checkInPlace } from '../time-slice';
import { inBands, rowsPerBand } from './bands';
import { drawBox, drawPoint } from './draw';
import { checkOutputSize, checkRgb, writeImage } from './output';
import { checkMask, decodeRleAsync, type Rle } from './rle';
import type { RgbImage } from './types';

export type { Color, OverlayOptions } from '../options/overlay';
export { outputFormat, writeImage, writeMaskPng } from './output';

/** A mask in an overlay. */
export interface MaskLayer {
  /** `[height, width]` of the image, row-major; any value but 0 is inside. Or its runs, which take less memory. */
  data: Uint8Array | Rle;
  /** Which prompt it answers: masks of one prompt share a colour. Default: its place in the list. */
  prompt?: number;
  /** A colour of its own instead. */
  color?: Color | NumericArray;
}

/**
 * The union of masks of one size: 1 where any of them is not 0.
 * Long loops are cut into pieces, so that other events run in between.
 *
 * @throws SamError `ERR_INVALID_ARGUMENT` when there is no mask or their lengths differ
 */
export async function unionMasks(masks: readonly Uint8Array[]): Promise<Uint8Array> {
  if (!Array.isArray(masks) || masks.length === 0) throw invalidArgument('masks', 'at least one mask', masks);
  const length = masks[0]?.length;
  // Array.from: a hole of a sparse array is a mask that is missing.
  for (const [index, mask] of Array.from(masks).entries()) {
    if (!isTypedArray(mask, 'Uint8Array')) throw invalidArgument(`masks.${index}`, 'Uint8Array', mask);
    if (mask.length !== length) {
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        `Expected ${length} values for masks.${index} but received ${mask.length}`,
      );
    }
  }
  const union = new Uint8Array(length);
  for (const [index, mask] of masks.entries()) {
    await inBands(length, 65_536, (begin, end) => {
      checkInPlace(mask, length, `masks.${index}`);
      for (let i = begin; i < end; i++) if (mask[i] !== 0) union[i] = 1;
    });
  }
  return union;
}

// Blue, orange, purple, teal, yellow, pink: apart from each other and from the green and red of points.
const FIRST_COLORS: readonly Color[] = [
  [30, 144, 255],
  [255, 140, 0],
  [170, 70, 230],
  [0, 200, 200],
  [245, 215, 40],
  [255, 95, 175],
];

/**
 * A colour per index: six chosen ones, then hues 137.5° apart (the golden angle), so that neighbours in the list
 * stay easy to tell apart however many there are.
 */
export function promptColor(index: number): Color {
  const first = FIRST_COLORS[index];
  if (first !== undefined) return first;
  const hue = (index * 137.508) % 360;
  const value = index % 2 === 0 ? 1 : 0.8;
  const channel = (n: number): number => {
    const k = (n + hue / 60) % 6;
    return Math.round(255 * value * (1 - 0.8 * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [channel(5), channel(3), channel(1)];
}

/**
 * Draws masks, points and boxes over an image. The image is left as it is.
 *
 * Loops are cut into pieces of a few milliseconds, so that other events run in between.
 *
 * @returns RGB of the image's size
 * @throws SamError `ERR_INVALID_ARGUMENT`
 */
export async function overlay(
  image: RgbImage,
  masks: readonly MaskLayer[],
  options: OverlayOptions = {},
): Promise<RgbImage> {
  const { data, width, height } = checkRgb(image);
  const layers = parse(z.array(layerSchema), masks, 'masks');
  for (const { data } of layers) if (!isRle(data)) checkMask(data, width, height);
  const { alpha, points = [], boxes = [], contour: asked } = parse(overlaySchema, options, 'options');
  const unit = Math.max(1, Math.round(Math.max(width, height) / 600));
  const contour = asked ?? unit;
  // Run lengths become pixels when it is their turn.
  const pixelsOf = async ({ data }: MaskLayer) => {
    if (!isRle(data)) return data;
    const { size } = data;
    if (!Array.isArray(size) || size[0] !== height || size[1] !== width) {
      throw invalidArgument('mask.size', `[${height}, ${width}]`, size);
    }
    return decodeRleAsync(data);
  };

  const canvas: RgbImage = { data: new Uint8Array(data.length), width, height };
  const step = rowsPerBand(width);
  await inBands(height, step, (begin, end) => {
    checkInPlace(data, canvas.data.length, 'image.data');
    canvas.data.set(data.subarray(begin * width * 3, end * width * 3), begin * width * 3);
  });
  for (const [index, mask] of layers.entries()) {
    const color = mask.color ?? promptColor(mask.prompt ?? index);
    const pixels = await pixelsOf(mask);
    await inBands(height, step, (begin, end) => {
      checkInPlace(pixels, width * height, `masks.${index}.data`);
      fillMask(canvas, pixels, color, alpha, begin, end);
    });
  }
  // After all fills: a contour stays crisp under the mask of a neighbour.
  if (contour > 0) {
    for (const [index, mask] of layers.entries()) {
      const color = mask.color ?? promptColor(mask.prompt ?? index);
      const pixels = await pixelsOf(mask);
      await inBands(height, step, (begin, end) => {
        checkInPlace(pixels, width * height, `masks.${index}.data`);
        drawContour(canvas, pixels, color, contour, begin, end);
      });
    }
  }
  for (const [index, box] of boxes.entries()) drawBox(canvas, box, promptColor(index), unit + 1);
  for (const [x, y, label = 1] of points) {
    if (label === 1) drawPoint(canvas, x, y, [30, 200, 30], 4 * unit);
    else if (label === 0) drawPoint(canvas, x, y, [225, 25, 25], 4 * unit);
  }
  return canvas;
}

/**
 * {@link overlay} into a file: .png, .jpg, .jpeg or .webp.
 *
 * @throws SamError as {@link overlay}, and `ERR_IO` when writing fails
 */
export async function writeOverlayPng(
  path: string,
  image: RgbImage,
  masks: readonly MaskLayer[],
  options: OverlayOptions = {},
): Promise<void> {
  const { width, height } = checkRgb(image);
  checkOutputSize(path, width, height); // before the work
  await writeImage(path, await overlay(image, masks, options));
}

const isRle = (data: Uint8Array | Rle): data is Rle =>
  typeof data === 'object' && data !== null && 'counts' in data;

function fillMask(
  canvas: RgbImage,
  mask: Uint8Array,
  color: Color,
  alpha: number,
  begin: number,
  end: number,
): void {
  const { data, width } = canvas;
  // Fixed point: 8 bits of opacity are all that 8 bits of colour can show.
  const a = Math.round(alpha * 256);
  const keep = 256 - a;
  const [r, g, b] = [color[0] * a + 128, color[1] * a + 128, color[2] * a + 128];
  for (let i = begin * width, last = end * width; i < last; i++) {
    if (mask[i] === 0) continue;
    const p = 3 * i;
    data[p] = (data[p]! * keep + r) >> 8;
    data[p + 1] = (data[p + 1]! * keep + g) >> 8;
    data[p + 2] = (data[p + 2]! * keep + b) >> 8;
  }
}

// A pixel is on the contour when it is inside and one of its neighbours along x or y, at most `thickness` away, is not. The
// image's border is no contour: the object goes on there.
function drawContour(
  canvas: RgbImage,
  mask: Uint8Array,
  color: Color,
  thickness: number,
  begin: number,
  end: number,
): void {
  const { data, width, height } = canvas;
  const [r, g, b] = color;
  for (let y = begin; y < end; y++) {
    const row = y * width;
    const up = row - Math.min(thickness, y) * width;
    const down = row + Math.min(thickness, height - 1 - y) * width;
    const above = y > 0 ? row - width : row;
    const below = y < height - 1 ? row + width : row;
    for (let x = 0; x < width; x++) {
      if (mask[row + x] === 0) continue;
      // The nearest neighbours too: a gap narrower than the contour has nothing at its full distance.
      const inner =
        mask[up + x] !== 0 &&
        mask[down + x] !== 0 &&
        mask[above + x] !== 0 &&
        mask[below + x] !== 0 &&
        mask[row + Math.max(x - thickness, 0)] !== 0 &&
        mask[row + Math.min(x + thickness, width - 1)] !== 0 &&
        mask[row + Math.max(x - 1, 0)] !== 0 &&
        mask[row + Math.min(x + 1, width - 1)] !== 0;
      if (inner) continue;
      const p = 3 * (row + x);
      data[p] = r;
      data[p + 1] = g;
      data[p + 2] = b;
    }
  }
}
