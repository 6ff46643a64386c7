// From an encoded file's bytes to 8-bit RGB, the way the reference's PIL does.
import sharp, { type Metadata, type OutputInfo, type SharpOptions } from 'sharp';
import { describe, SamError } from '../errors';
import { sizeText } from '../size';
import { decodeFloats, isFloatImage } from './float-samples';
import { withStoredColours } from './gif';
import { readLab8 } from './lab-tiff';
import { BITS_PER_SAMPLE, ICC_LAB, PHOTOMETRIC, tiffTags } from './tiff';
import type { RgbImage } from './types';

/**
 * Pixels that an image may have unless a caller says otherwise: 2²⁷. It lets the largest modes of most phones (108 MP) and
 * medium-format cameras (102 MP) through; 200 MP need a limit of their own. At the limit, libvips' decoders take up to 8.2
 * bytes per pixel: 1.1 GB.
 */
export const DEFAULT_PIXEL_LIMIT = 2 ** 27;
// AVIF takes 18.3 bytes per pixel while it is decoded (measured at 36 MP), and no camera writes it.
const DEFAULT_AVIF_PIXEL_LIMIT = 2 ** 26;

/** What every reader of encoded images tells sharp; sizes are checked by {@link readHeader}. */
const READING = { failOn: 'error', autoOrient: true, limitInputPixels: false } satisfies SharpOptions;

/**
 * Decodes the bytes of a file.
 *
 * @param name of the image in messages
 * @param limit pixels; undefined = the default of the format
 * @throws SamError ERR_IMAGE; the signal's reason between two steps
 */
export async function decodeEncoded(
  bytes: Uint8Array,
  name: string,
  limit: number | undefined,
  signal?: AbortSignal,
): Promise<RgbImage> {
  checkFormat(bytes, name);
  try {
    const { lab, header } = await readHeader(bytes, name, limit);
    const source = lab?.asRgb ?? withStoredColours(bytes);
    signal?.throwIfAborted();
    if (!lab && isFloatImage(header)) return await decodeFloats(sharp(source, READING), header, name);
    // For CMYK the profile says what the inks look like. Otherwise it is ignored, see decodeImage().
    const ignoreIcc = header.space !== 'cmyk';
    const { data, info } = await sharp(source, { ...READING, ignoreIcc })
      .removeAlpha()
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    const image = rgbOf(data, info);
    return lab ? await lab.toRgb(image) : image;
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw decodeError(name, cause);
  }
}

/**
 * What the beginning of a file says; refuses what is too large or has samples that say nothing about brightness.
 *
 * @param bytes the file, or as much of it as its header takes
 * @throws SamError ERR_IMAGE, or libvips' error
 */
export async function readHeader(bytes: Uint8Array, name: string, limit: number | undefined) {
  const tags = tiffTags(bytes);
  const lab = readLab8(bytes, tags);
  const bits = tags?.short(BITS_PER_SAMPLE);
  if (tags && bits !== undefined && bits > 32) throw badSamples(name, `samples of ${bits} bits`);
  if (!lab && tags?.short(PHOTOMETRIC) === ICC_LAB) throw badSamples(name, `ICC Lab of ${bits} bits`);
  const header = await sharp(lab?.asRgb ?? bytes, { limitInputPixels: false }).metadata();
  const byDefault = header.format === 'heif' ? DEFAULT_AVIF_PIXEL_LIMIT : DEFAULT_PIXEL_LIMIT;
  checkPixels(header.width, header.height, name, limit ?? byDefault);
  checkSamples(header, name);
  return { header, lab };
}

function checkSamples({ depth, space, bitsPerSample }: Metadata, name: string): void {
  // libvips cuts the fractions off 16-bit floats on the way out.
  if (depth === 'float' && bitsPerSample === 16) throw badSamples(name, 'floats of 16 bits');
  if (depth === 'uchar' || depth === 'ushort' || depth === 'float' || space === 'labs') return;
  const words: Record<string, string> = {
    char: 'signed integers of 8 bits',
    short: 'signed integers of 16 bits',
    int: 'signed integers of 32 bits',
    uint: 'unsigned integers of 32 bits',
  };
  throw badSamples(name, words[depth] ?? `samples of type ${depth}`);
}

function badSamples(name: string, found: string): SamError {
  const expected = 'unsigned integers of 8 or 16 bits, or floats of 32';
  return new SamError('ERR_IMAGE', `Cannot decode ${name}: expected ${expected}, but found ${found}`);
}

/** sharp's output as an image. */
export function rgbOf(data: Buffer, info: OutputInfo): RgbImage {
  if (info.channels !== 3 || data.length !== info.width * info.height * 3) {
    throw new SamError('ERR_INTERNAL', `Expected three 8-bit channels but received ${info.channels}`);
  }
  return { data, width: info.width, height: info.height };
}

/** Refuses an image with more than `limit` pixels. */
export function checkPixels(width: number, height: number, name: string, limit: number): void {
  if (width * height <= limit) return;
  throw new SamError(
    'ERR_IMAGE',
    `Cannot decode ${name}: ${sizeText({ width, height })} exceeds limitInputPixels (${limit})`,
  );
}

/** What went wrong in a decoder: libvips prints one line per message and often says a thing three times. */
export function decodeError(name: string, cause: unknown): SamError {
  if (cause instanceof SamError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  const lines = message
    .replace(/^Input (buffer|file) (has corrupt header:?\s*)?/, '')
    .split('\n')
    .map((line) => line.replace(/^(VipsJpeg|vipspng|tiff2vips|webp|heif|\w+load_buffer): /, '').trim())
    .filter((line) => line !== '' && !line.startsWith('source: bad seek'));
  const reason = [...new Set(lines)].slice(0, 3).join('; ') || 'the data is damaged';
  return new SamError('ERR_IMAGE', `Cannot decode ${name}: ${reason}`, { cause });
}

/**
 * Refuses what is no photograph. The first bytes decide, not the file's name; everything else (SVG above all: it can
 * refer to other files) never reaches a decoder.
 *
 * @param bytes the file, or at least its first 24 bytes
 * @throws SamError ERR_IMAGE
 */
export function checkFormat(bytes: Uint8Array, name: string): void {
  if (bytes.length === 0) throw new SamError('ERR_IMAGE', `Cannot decode ${name}: it is empty`);
  if (isSupportedFormat(bytes)) return;
  throw new SamError(
    'ERR_IMAGE',
    `Cannot decode ${name}: expected JPEG, PNG, WebP, TIFF, AVIF or GIF, but it starts with ${startOf(bytes)}`,
  );
}

function isSupportedFormat(bytes: Uint8Array): boolean {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 16)).toString('latin1');
  return (
    head.startsWith('\xff\xd8\xff') ||
    head.startsWith('\x89PNG\r\n\x1a\n') ||
    head.startsWith('GIF87a') ||
    head.startsWith('GIF89a') ||
    (head.startsWith('RIFF') && head.startsWith('WEBP', 8)) ||
    /^(II[*+]\0|MM\0[*+])/.test(head) ||
    head.startsWith('ftyp', 4)
  );
}

function startOf(bytes: Uint8Array): string {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 24));
  const text = head.toString('latin1');
  if (/^[\x20-\x7e\s]+$/.test(text)) return describe(text);
  return `the bytes ${head
    .subarray(0, 8)
    .toString('hex')
    .replace(/..(?=.)/g, '$& ')}`;
}
