// Takes an image in every form that a caller may have it in, and gives 8-bit RGB.
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { unlessAborted } from '../abort';
import { invalidArgument, SamError } from '../errors';
import { openForReading, readError } from '../files/kind';
import { type DecodeOptions, decodeSchema } from '../options/input';
import { isTypedArray, parse } from '../options/validate';
import { copyInSlices } from '../time-slice';
import { checkPixels, decodeEncoded, decodeError, rgbOf } from './decode';
import { takeStaging } from './staging';
import { isByteStream, readByteStream } from './stream';
import type { ImageInput, RawImage, RgbImage } from './types';

export type { DecodeOptions } from '../options/input';

export { checkFormat, checkPixels, DEFAULT_PIXEL_LIMIT, decodeError } from './decode';

const origins = new WeakMap<object, string>();

/** The file that an image was decoded from, for messages; undefined of any other. */
export function originOf(image: object): string | undefined {
  return origins.get(image);
}

/**
 * Decodes an image to 8-bit RGB.
 *
 * - EXIF orientation is applied: `width` and `height` are those of the upright picture, and prompts refer to it.
 * - Alpha is dropped, not composited: transparent pixels keep their stored colour (PIL's `convert('RGB')`).
 * - Gray is replicated to three channels; 16-bit values become `value >> 8`.
 * - Float samples (32 bits, in TIFF) between 0 and 1 become `255 · value`, those between 0 and 255 keep their value, both
 *   rounded; other values are refused, and so are floats of 16 and 64 bits, signed integers and integers of 32 bits.
 * - CMYK, Lab and other colour spaces are converted to sRGB. The ICC profile of an image that is RGB or gray already is
 *   ignored, because PIL and OpenCV, with which SAM was trained and is evaluated, ignore it: the same file gives
 *   the same pixels.
 * - Of animations and multi-page files, the first picture is taken.
 * - SVG, PDF and other formats that are not photographs are refused before a parser sees them.
 *
 * Decoding runs on libvips' threads. Three-channel 8-bit raw pixels are passed on as they are: the result shares
 * their memory. Everything else is copied as `Sam.encode` copies it: leave more than 8 MiB alone until the promise settles.
 *
 * @returns RGB, `[height, width, 3]`
 * @throws SamError `ERR_IO` when a file is missing, is no regular file or cannot be read, or a stream fails; `ERR_IMAGE` when
 *   it is empty, truncated, damaged, not an image or too large; `ERR_INVALID_ARGUMENT` when the input is neither; the signal's
 *   reason
 */
export async function decodeImage(input: ImageInput, options: DecodeOptions = {}): Promise<RgbImage> {
  const parsed = parse(decodeSchema, options, 'options');
  const { signal } = parsed;
  signal?.throwIfAborted();
  const shared = rawRgb(input, parsed);
  // libvips reads on threads of its own, where a buffer that is transferred meanwhile would be freed memory.
  return (
    shared ??
    unlessAborted(
      copyInput(input).then((copy) => decode(copy, parsed)),
      signal,
    )
  );
}

/**
 * The same for an input that nobody else knows: one of {@link copyInput}.
 *
 * @throws SamError as {@link decodeImage}
 */
export async function decodeCopy(input: ImageInput, options: DecodeOptions): Promise<RgbImage> {
  options.signal?.throwIfAborted();
  return unlessAborted(decode(input, options), options.signal);
}

async function decode(input: ImageInput, options: DecodeOptions): Promise<RgbImage> {
  const { signal, limitInputPixels: limit } = options;
  if (typeof input === 'string' || input instanceof URL) {
    const path = toPath(input);
    const image = await decodeEncoded(await readImageFile(path, signal), path, limit, signal);
    origins.set(image, path);
    return image;
  }
  if (isUint8Array(input)) return decodeEncoded(input, 'the image buffer', limit, signal);
  if (isArrayBuffer(input)) return decodeEncoded(new Uint8Array(input), 'the image buffer', limit, signal);
  if (isBlob(input)) {
    const bytes = await readByteStream(() => input.stream(), limit, signal);
    return decodeEncoded(bytes, 'the image blob', limit, signal);
  }
  if (isByteStream(input)) {
    const bytes = await readByteStream(() => input, limit, signal);
    return decodeEncoded(bytes, 'the image stream', limit, signal);
  }
  if (isRaw(input)) return rawRgb(input, options) ?? decodeRaw(input);
  throw invalidArgument(
    'image',
    'path, file URL, Buffer, Uint8Array, ArrayBuffer, Blob, stream or raw image',
    input,
  );
}

/**
 * The pixels of a raw image that needs no decoding: 8-bit RGB, sharing its memory. Undefined for every other input.
 *
 * @throws SamError as decodeImage does
 */
function rawRgb(input: ImageInput, options: DecodeOptions): RgbImage | undefined {
  if (!isRaw(input)) return undefined;
  checkRaw(input, options.limitInputPixels);
  const { data, width, height, channels = 3 } = input;
  if (!isBytes(data) || channels !== 3) return undefined;
  return { data: new Uint8Array(data.buffer, data.byteOffset, data.length), width, height };
}

function isBlob(input: ImageInput): input is Blob {
  return (
    typeof input === 'object' && input !== null && 'stream' in input && typeof input.stream === 'function'
  );
}

function isRaw(input: ImageInput): input is RawImage {
  return typeof input === 'object' && input !== null && 'data' in input;
}

/**
 * The same input with bytes or pixels of its own, which nobody else knows. Pixels lie in memory that may be given back with
 * `giveStagingBack`.
 *
 * @throws SamError as {@link copyInSlices}, which says when the caller may change those that it gave
 */
export async function copyInput(input: ImageInput): Promise<ImageInput> {
  if (isArrayBuffer(input)) return copyInSlices(new Uint8Array(input), 'image');
  if (isUint8Array(input)) return copyInSlices(input, 'image');
  if (!isRaw(input)) return input;
  // By name: those of an ImageData are getters of its class, which no spread takes along.
  const { data, width, height, channels } = input;
  if (!isBytes(data) && !isTypedArray(data, 'Uint16Array')) return input;
  return { data: await copyInSlices(data, 'image.data', takeStaging), width, height, channels };
}

// `instanceof` would miss a buffer of another realm (vm contexts, Jest).
function isUint8Array(value: unknown): value is Uint8Array {
  return isTypedArray(value, 'Uint8Array');
}

function isBytes(value: unknown): value is Uint8Array | Uint8ClampedArray {
  return isUint8Array(value) || isTypedArray(value, 'Uint8ClampedArray');
}

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
export async function readImageFile(path: string, signal?: AbortSignal): Promise<Uint8Array> {
  const file = await openForReading(path);
  try {
    return await file.readFile({ signal });
  } catch (cause) {
    signal?.throwIfAborted();
    throw readError(path, cause);
  } finally {
    await file.close().catch(() => {});
  }
}

function checkRaw({ data, width, height, channels = 3 }: RawImage, limit: number | undefined): void {
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
  if (!isBytes(data) && !isTypedArray(data, 'Uint16Array')) {
    throw invalidArgument('image.data', 'Uint8Array, Uint8ClampedArray or Uint16Array', data);
  }
  if (limit !== undefined) checkPixels(width, height, 'the raw image', limit);
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
    return rgbOf(out, info);
  } catch (cause) {
    throw decodeError('the raw image', cause);
  }
}
