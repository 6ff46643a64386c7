// An image's size from its header, without decoding it.
import type { FileHandle } from 'node:fs/promises';
import { SamError } from '../errors';
import { openForReading, readError } from '../files/kind';
import { checkFormat, decodeError, readHeader } from './decode';
import { readImageFile } from './load';

// Headers lie at the beginning, but for TIFF's, and behind previews and colour profiles of more than that in rare JPEGs.
const HEADER_BYTES = 64 * 1024;

/** An image's size in px, upright, and its EXIF orientation: 1 (as stored) to 8. */
export interface ImageFrame {
  readonly width: number;
  readonly height: number;
  readonly orientation: number;
}

/**
 * The size in px of the upright picture, as `decodeImage` would return it, and how it was turned.
 *
 * @throws SamError `ERR_IO` when a file is missing, is no regular file or cannot be read; `ERR_IMAGE` when its header is
 *   damaged or its size exceeds the limit, by default what `decodeImage` takes
 */
export async function readImageSize(path: string, limitInputPixels?: number): Promise<ImageFrame> {
  return fromBeginning(path, (bytes) => sizeOf(bytes, path, limitInputPixels));
}

/**
 * Reads something from an image's header.
 *
 * Only the file's beginning is read (all of it where that is not enough), so damage further in goes unnoticed. libvips
 * gets bytes instead of a path because it keeps what it knows about paths: a file that changed would look as before.
 *
 * @param read what to read; throws when the bytes are not enough
 * @throws SamError `ERR_IO`, `ERR_IMAGE`
 */
export async function fromBeginning<T>(path: string, read: (bytes: Uint8Array) => Promise<T>): Promise<T> {
  const { bytes, complete } = await readBeginning(path);
  checkFormat(bytes, path);
  try {
    return await read(bytes);
  } catch (cause) {
    if (complete || cause instanceof SamError) throw decodeError(path, cause);
  }
  try {
    return await read(await readImageFile(path));
  } catch (cause) {
    throw decodeError(path, cause);
  }
}

async function sizeOf(bytes: Uint8Array, path: string, limit?: number): Promise<ImageFrame> {
  const { header } = await readHeader(bytes, path, limit);
  const { width, height } = header.autoOrient;
  return { width, height, orientation: header.orientation ?? 1 };
}

async function readBeginning(path: string): Promise<{ bytes: Uint8Array; complete: boolean }> {
  let handle: FileHandle | undefined;
  try {
    handle = await openForReading(path);
    const { size } = await handle.stat();
    const bytes = new Uint8Array(Math.min(size, HEADER_BYTES));
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return { bytes: bytes.subarray(0, length), complete: length === size };
  } catch (cause) {
    throw cause instanceof SamError ? cause : readError(path, cause);
  } finally {
    await handle?.close().catch(() => {});
  }
}
