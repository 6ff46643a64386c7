// Ground-truth masks from image files of any kind: gray, palette, colour, with alpha, of 1 to 32 bits, float.
import { SamError } from '../../errors';
import { inBands, rowsPerBand } from '../../image/bands';
import type { BinaryMask, Reading } from '../types';
import { type Depth, type MaskPixels, readMaskPixels, type Samples } from './mask-pixels';

/** Of 255, values above this are inside, as PySODMetrics and the released code of most benchmarks have it. */
const THRESHOLD = 128;

/** What is noted about a mask of 0 and 1. */
const ZERO_AND_ONE = 'masks of 0 and 1 are read as 0 and 255';

/** Bits of whole numbers, without their sign. */
const BITS = { uchar: 8, char: 7, ushort: 16, short: 15, uint: 32, int: 31, float: undefined } as const;

/**
 * Reads a ground-truth mask: a pixel is inside when its gray value is above 128 of 255, by the range of the file's own
 * sample format.
 *
 * - Of whole numbers with more bits the high byte decides.
 * - Floats up to 1 are inside above 0.5, floats up to 255 above 128.
 * - Where every value is 0 or 1, and not all are 0, 1 is inside; the mask says so in its `note`.
 * - Colours, a palette's included, become gray as PIL's `convert('L')` makes them (ITU-R 601-2 luma).
 * - Alpha is ignored, as PIL and OpenCV ignore it, unless the picture has only one gray value and alpha has several:
 *   then alpha is the mask.
 * - EXIF orientation is applied, as it is to images, unless `exif` is `ignore`.
 *
 * @returns `[height, width]`, 0 or 1
 * @throws SamError `ERR_IO`, `ERR_IMAGE`; `ERR_IMAGE` also when there are values above 0 but none inside, below 0 or
 *   beyond the range: such a mask would count as empty, or as what nobody meant
 */
export async function readMask(path: string, reading: Reading = {}): Promise<BinaryMask> {
  const pixels = await readMaskPixels(path, reading);
  const { width, height } = pixels;
  const { values, range } = await grayOf(pixels);
  const { smallest, largest, isBinary } = range;
  const { top, isInside, inside } = scaleOf(pixels, largest);
  const refuse = (expected: string, found: string) =>
    new SamError('ERR_IMAGE', `Cannot use ${path} as a mask: expected ${expected} but ${found}`);
  if (!(smallest >= 0)) throw refuse('no value below 0, and no NaN,', `its smallest value is ${smallest}`);
  if (!(largest <= top)) throw refuse('values of 0 … 1 or 0 … 255', `its largest value is ${largest}`);
  const ones = isBinary && largest > 0 && top > 1;
  const data = new Uint8Array(width * height);
  let any = false;
  let brightest = 0;
  await inBands(height, rowsPerBand(width), (begin, end) => {
    for (let i = begin * width; i < end * width; i++) {
      const value = values[i]!;
      if (value > brightest) brightest = value;
      if (!(ones ? value > 0 : isInside(value))) continue;
      data[i] = 1;
      any = true;
    }
  });
  if (largest > 0 && !any) {
    throw refuse(
      `0 outside and ${top} inside (inside is ${inside}), or 0 and 1,`,
      // Of a red of 255 it is 76.
      `its largest ${brightest === largest ? '' : 'gray '}value is ${brightest}`,
    );
  }
  return { data, width, height, ...(ones ? { note: ZERO_AND_ONE } : {}) };
}

/** How values are judged; of floats, the largest tells the range. */
function scaleOf({ depth }: MaskPixels, largest: number) {
  const bits = BITS[depth];
  if (bits === undefined) {
    const [top, threshold] = largest <= 1 ? [1, 0.5] : [255, THRESHOLD];
    return { top, isInside: (value: number) => value > threshold, inside: `> ${threshold}` };
  }
  const top = 2 ** bits - 1;
  if (bits === 8) return { top, isInside: (value: number) => value > THRESHOLD, inside: `> ${THRESHOLD}` };
  const least = (THRESHOLD + 1) * 2 ** (bits - 8);
  return { top, isInside: (value: number) => value >= least, inside: `≥ ${Math.ceil(least)}` };
}

/** What values a mask has, over all channels that count: luma may hide a colour's largest. */
class Range {
  smallest = Number.POSITIVE_INFINITY;
  largest = 0;
  /** Every value is 0 or 1. */
  isBinary = true;

  constructor(private readonly one: number) {}

  add(value: number): void {
    // NaN comes in here and stays.
    if (!(value >= this.smallest)) this.smallest = Math.min(value, this.smallest);
    if (value > this.largest) this.largest = value;
    if (value !== 0 && value !== this.one) this.isBinary = false;
  }
}

async function grayOf(pixels: MaskPixels): Promise<{ values: Samples; range: Range }> {
  const { data, width, height, channels, depth, one } = pixels;
  const isColour = channels >= 3;
  const alphaAt = channels === 2 || channels === 4 ? channels - 1 : undefined;
  const values =
    channels === 1
      ? data
      : depth === 'uchar'
        ? new Uint8Array(width * height)
        : new Float32Array(width * height);
  const range = new Range(one);
  const alphaRange = new Range(one);
  let oneGray = true;
  await inBands(height, rowsPerBand(width), (begin, end) => {
    for (let i = begin * width, p = i * channels; i < end * width; i++, p += channels) {
      const first = data[p]!;
      range.add(first);
      if (isColour) {
        const [green, blue] = [data[p + 1]!, data[p + 2]!];
        if (green !== first || blue !== first) {
          range.add(green);
          range.add(blue);
          range.isBinary = false;
        }
        values[i] = luma(first, green, blue, depth);
      } else values[i] = first;
      if (values[i] !== values[0]) oneGray = false;
      if (alphaAt !== undefined) alphaRange.add(data[p + alphaAt]!);
    }
  });
  if (alphaAt === undefined || !oneGray || alphaRange.smallest === alphaRange.largest) {
    return { values, range };
  }
  await inBands(height, rowsPerBand(width), (begin, end) => {
    for (let i = begin * width; i < end * width; i++) values[i] = data[i * channels + alphaAt]!;
  });
  return { values, range: alphaRange };
}

// PIL's weights; whole numbers stay whole, rounded as PIL rounds them.
function luma(red: number, green: number, blue: number, depth: Depth): number {
  const sum = red * 19595 + green * 38470 + blue * 7471;
  return depth === 'float' ? sum / 0x10000 : Math.floor((sum + 0x8000) / 0x10000);
}
