// Reads an image from a file, a buffer or raw pixels as 8-bit RGB, the way the reference's PIL does.
import { readFile, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import sharp, { type OutputInfo } from 'sharp';
import { describe, invalidArgument, SamError } from '../errors';
import { ioReason } from '../files/reason';
import type { ImageInput, RawImage, RgbImage } from './types';

/** Options of {@link decodeImage}. */
export interface DecodeOptions {
  /** Images with more pixels than this are refused before they are decoded. Default 268402689 (16383²). */
  limitInputPixels?: number;
}

/** Pixels that an image may have unless a caller says otherwise: 16383². */
export const DEFAULT_PIXEL_LIMIT = 0x3fff ** 2;

/**
 * Decodes an image to 8-bit RGB.
 *
 * - EXIF orientation is applied: `width` and `height` are those of the upright picture, and prompts refer to it.
 * - Alpha is dropped, not composited: transparent pixels keep their stored colour (PIL's `convert('RGB')`).
 * - Gray is replicated to three channels; 16-bit values become `value >> 8`.
 * - CMYK, Lab and other colour spaces are converted to sRGB. The ICC profile of an image that is RGB or gray already is
 *   ignored, because PIL and OpenCV, with which SAM was trained and is evaluated, ignore it: the same file gives
 *   the same pixels.
 * - Of animations and multi-page files, the first picture is taken.
 * - SVG, PDF and other formats that are not photographs are refused before a parser sees them.
 *
 * Decoding runs on libvips' threads. Three-channel 8-bit raw pixels are passed on as they are: the result shares
 * their memory. Bytes that are passed in must not change before the promise settles.
 *
 * @returns RGB, `[height, width, 3]`
 * @throws SamError `ERR_IO` when a file is missing, is no regular file or cannot be read; `ERR_IMAGE` when it is
 *   empty, truncated, damaged, not an image or too large; `ERR_INVALID_ARGUMENT` when the input is neither.
 */
export async function decodeImage(input: ImageInput, options: DecodeOptions = {}): Promise<RgbImage> {
  const limit = limitOf(options);
  if (typeof input === 'string' || input instanceof URL) {
    const path = toPath(input);
    return decodeEncoded(await readImageFile(path), path, limit);
  }
  if (input instanceof Uint8Array) return decodeEncoded(input, 'the image buffer', limit);
  if (isArrayBuffer(input)) return decodeEncoded(new Uint8Array(input), 'the image buffer', limit);
  if (isRaw(input)) return rawRgb(input, options) ?? decodeRaw(input);
  throw invalidArgument('image', 'path, file URL, Buffer, Uint8Array, ArrayBuffer or raw image', input);
}

/**
 * The pixels of a raw image that needs no decoding, at once: 8-bit RGB, sharing its memory. Undefined for every other input.
 *
 * @throws SamError as decodeImage does
 */
export function rawRgb(input: ImageInput, options: DecodeOptions = {}): RgbImage | undefined {
  if (!isRaw(input)) return undefined;
  checkRaw(input, limitOf(options));
  const { data, width, height, channels = 3 } = input;
  if (data instanceof Uint16Array || channels !== 3) return undefined;
  return { data: new Uint8Array(data.buffer, data.byteOffset, data.length), width, height };
}

function limitOf(options: DecodeOptions): number {
  if (typeof options !== 'object' || options === null) throw invalidArgument('options', 'object', options);
  const { limitInputPixels: limit = DEFAULT_PIXEL_LIMIT } = options;
  if (Number.isSafeInteger(limit) && limit >= 1) return limit;
  throw invalidArgument('limitInputPixels', 'positive integer', limit);
}

function isRaw(input: ImageInput): input is RawImage {
  return typeof input === 'object' && input !== null && 'data' in input;
}

/** The same input with bytes or pixels of its own: the caller may change those that it gave. */
export function copyInput(input: ImageInput): ImageInput {
  if (isArrayBuffer(input)) return new Uint8Array(input).slice();
  // Not slice(): a Buffer's shares its memory.
  if (input instanceof Uint8Array) return new Uint8Array(input);
  if (!isRaw(input)) return input;
  const { data } = input;
  if (data instanceof Uint8Array) return { ...input, data: new Uint8Array(data) };
  const copied = data instanceof Uint8ClampedArray || data instanceof Uint16Array;
  return copied ? { ...input, data: data.slice() } : input;
}

// `instanceof` would miss a buffer of another realm (vm contexts, Jest).
function isArrayBuffer(value: unknown): value is ArrayBuffer {
  const tag = Object.prototype.toString.call(value);
  return tag === '[object ArrayBuffer]' || tag === '[object SharedArrayBuffer]';
}

function toPath(input: string | URL): string {
  if (input instanceof URL) {
    if (input.protocol !== 'file:') throw invalidArgument('image', 'file URL', input.href);
    try {
      return fileURLToPath(input);
    } catch {
      // Of another host, or with a part that is no path.
      throw invalidArgument('image', 'file URL of this machine', input.href);
    }
  }
  if (input === '' || input.includes('\0')) throw invalidArgument('image', 'path of an image file', input);
  return input;
}

/**
 * The bytes of a regular file.
 *
 * @throws SamError ERR_IO
 */
export async function readImageFile(path: string): Promise<Uint8Array> {
  try {
    const info = await stat(path);
    if (info.isDirectory()) throw new SamError('ERR_IO', `Cannot read ${path}: it is a directory`);
    // A pipe or a device may never end.
    if (!info.isFile()) throw new SamError('ERR_IO', `Cannot read ${path}: it is not a regular file`);
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof SamError) throw cause;
    throw new SamError('ERR_IO', `Cannot read ${path}: ${ioReason(cause)}`, { cause });
  }
}

async function decodeEncoded(bytes: Uint8Array, name: string, limit: number): Promise<RgbImage> {
  checkFormat(bytes, name);
  try {
    const header = await sharp(bytes, { limitInputPixels: false }).metadata();
    checkPixels(header.width, header.height, name, limit);
    // For CMYK the profile says what the inks look like. Otherwise it is ignored, see decodeImage().
    const ignoreIcc = header.space !== 'cmyk';
    const { data, info } = await sharp(bytes, {
      failOn: 'error',
      autoOrient: true,
      limitInputPixels: false,
      ignoreIcc,
    })
      .removeAlpha()
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    return rgb(data, info);
  } catch (cause) {
    throw decodeError(name, cause);
  }
}

function checkRaw({ data, width, height, channels = 3 }: RawImage, limit: number): void {
  for (const [name, value] of [
    ['width', width],
    ['height', height],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw invalidArgument(`image.${name}`, 'positive integer', value);
  }
  if (![1, 2, 3, 4].includes(channels)) {
    throw invalidArgument('image.channels', 'integer between 1 and 4', channels);
  }
  const isBytes = data instanceof Uint8Array || data instanceof Uint8ClampedArray;
  if (!isBytes && !(data instanceof Uint16Array)) {
    throw invalidArgument('image.data', 'Uint8Array, Uint8ClampedArray or Uint16Array', data);
  }
  checkPixels(width, height, 'the raw image', limit);
  const length = width * height * channels;
  if (data.length !== length) {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected ${length} values (${width} x ${height} x ${channels}) for image.data but received ${data.length}`,
    );
  }
}

/** Of an image that checkRaw has seen. */
async function decodeRaw({ data, width, height, channels = 3 }: RawImage): Promise<RgbImage> {
  try {
    // libvips converts on its own threads; a loop here would hold up the event loop for 100 ms and more.
    const { data: out, info } = await sharp(data, {
      raw: { width, height, channels },
      limitInputPixels: false,
    })
      .removeAlpha()
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    return rgb(out, info);
  } catch (cause) {
    throw decodeError('the raw image', cause);
  }
}

function rgb(data: Buffer, info: OutputInfo): RgbImage {
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
    `Cannot decode ${name}: ${width} x ${height} px exceeds limitInputPixels (${limit})`,
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
