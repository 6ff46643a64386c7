// Pixels of a mask file as they are stored: no conversion to 8 bits, which would hide what range they have.
import sharp, { type Metadata, type Sharp, type SharpOptions } from 'sharp';
import { SamError } from '../../errors';
import { inBands } from '../../image/bands';
import { withStoredColours } from '../../image/gif';
import { fromBeginning, type ImageFrame } from '../../image/header';
import { type Lab8, readLab8 } from '../../image/lab-tiff';
import { checkFormat, checkPixels, DEFAULT_PIXEL_LIMIT, decodeError, readImageFile } from '../../image/load';
import { tiffTags } from '../../image/tiff';
import type { Reading } from '../types';

const TYPES = {
  uchar: Uint8Array,
  char: Int8Array,
  ushort: Uint16Array,
  short: Int16Array,
  uint: Uint32Array,
  int: Int32Array,
  float: Float32Array,
} as const;

/** Sample formats, by libvips' names. */
export type Depth = keyof typeof TYPES;
export type Samples = InstanceType<(typeof TYPES)[Depth]>;

/** A decoded mask file. */
export interface MaskPixels {
  /** [height, width, channels] */
  readonly data: Samples;
  readonly width: number;
  readonly height: number;
  /** 1 gray, 3 RGB, 4 RGB + alpha; more mean nothing. */
  readonly channels: number;
  readonly depth: Depth;
  /** What a stored 1 became: gray values of 2 and 4 bits are decoded as 0 … 255. */
  readonly one: number;
}

/**
 * A mask's size and orientation from its header, whatever its samples are.
 *
 * @throws SamError `ERR_IO`, `ERR_IMAGE`
 */
export async function readMaskFrame(path: string, limit = DEFAULT_PIXEL_LIMIT): Promise<ImageFrame> {
  return fromBeginning(path, async (bytes) => {
    const { autoOrient, orientation = 1 } = await readMetadata(labOf(bytes)?.asRgb ?? bytes);
    const { width, height } = autoOrient;
    checkPixels(width, height, path, limit);
    return { width, height, orientation };
  });
}

/**
 * Decodes a mask: gray and RGB in their own sample format, other colour spaces as 8-bit sRGB.
 *
 * @throws SamError `ERR_IO`, `ERR_IMAGE`
 */
export async function readMaskPixels(
  path: string,
  { exif = 'apply', limitInputPixels = DEFAULT_PIXEL_LIMIT }: Reading = {},
): Promise<MaskPixels> {
  const bytes = await readImageFile(path);
  checkFormat(bytes, path);
  try {
    const lab = labOf(bytes);
    const source = lab?.asRgb ?? bytes;
    const header = await readMetadata(source);
    checkPixels(header.width, header.height, path, limitInputPixels);
    const { depth, space } = storedFormat(header);
    const reading: SharpOptions = {
      failOn: 'error',
      autoOrient: exif === 'apply',
      limitInputPixels: false,
      ignoreIcc: header.space !== 'cmyk',
    };
    const image = sharp(source, reading);
    if (lab) image.removeAlpha();
    const shift = shiftOf(space, depth);
    if (shift) image.linear(shift.factor, shift.offset);
    const { data: raw, info } = await image
      .toColourspace(space)
      .raw({ depth: shift ? 'float' : depth })
      .toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    const data = samplesOf(raw, shift ? 'float' : depth);
    if (data.length !== width * height * channels) {
      throw new SamError('ERR_INTERNAL', `Expected ${channels} channels of ${depth} in ${path}`);
    }
    if (shift) {
      await inBands(data.length, 65_536, (begin, end) => {
        for (let i = begin; i < end; i++) data[i] = (data[i]! - shift.offset) / shift.factor;
      });
    }
    if (lab) await lab.toRgb({ data: data as Uint8Array, width, height });
    const opaque = withStoredColours(bytes);
    if (opaque !== bytes) await setColours(data, sharp(opaque, reading));
    return { data, width, height, channels, depth, one: storedOne(header) };
  } catch (cause) {
    throw decodeError(path, cause);
  }
}

function labOf(bytes: Uint8Array): Lab8 | undefined {
  return readLab8(bytes, tiffTags(bytes));
}

function readMetadata(bytes: Uint8Array): Promise<Metadata> {
  return sharp(bytes, { limitInputPixels: false }).metadata();
}

/** Replaces the colours of RGB with alpha by those of an image of the same size; alpha, which may be the mask, stays. */
async function setColours(rgba: Samples, image: Sharp): Promise<void> {
  const rgb = await image.removeAlpha().toColourspace('srgb').raw().toBuffer();
  await inBands(rgba.length / 4, 65_536, (begin, end) => {
    for (let i = begin; i < end; i++) {
      for (let c = 0; c < 3; c++) rgba[4 * i + c] = rgb[3 * i + c]!;
    }
  });
}

function storedFormat({ space, depth, channels }: Metadata): { space: Metadata['space']; depth: Depth } {
  const own = depth in TYPES && ['b-w', 'grey16', 'srgb', 'rgb16', 'scrgb'].includes(space);
  // On the way to b-w, libvips drops 8-bit alpha.
  if (!own || (space === 'b-w' && channels > 1 && depth === 'uchar'))
    return { space: 'srgb', depth: 'uchar' };
  return { space, depth: depth as Depth };
}

// Gray of 16 bits leaves libvips as a whole number from 0 to 65535, whatever it was: signed values and half floats (from −128,
// in steps of 1/128) are moved there and back.
function shiftOf(space: Metadata['space'], depth: Depth): { factor: number; offset: number } | undefined {
  if (space !== 'grey16' || depth === 'ushort') return undefined;
  return depth === 'float' ? { factor: 128, offset: 16_384 } : { factor: 1, offset: 32_768 };
}

function storedOne({ space, depth, bitsPerSample }: Metadata): number {
  const isScaled = space === 'b-w' && depth === 'uchar' && (bitsPerSample === 2 || bitsPerSample === 4);
  return isScaled ? 255 / (2 ** bitsPerSample - 1) : 1;
}

function samplesOf(raw: Buffer, depth: Depth): Samples {
  const Type = TYPES[depth];
  const { buffer, byteOffset, byteLength } = byteOffsetFits(raw, Type.BYTES_PER_ELEMENT)
    ? raw
    : new Uint8Array(raw);
  return new Type(buffer as ArrayBuffer, byteOffset, byteLength / Type.BYTES_PER_ELEMENT);
}

function byteOffsetFits({ byteOffset }: Buffer, bytes: number): boolean {
  return byteOffset % bytes === 0;
}
