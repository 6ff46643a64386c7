// Encoded images that come piece by piece: streams of Node.js and of the web, and what a Blob gives.
import { addAbortListener } from 'node:events';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { invalidArgument, SamError } from '../errors';
import { isTypedArray } from '../options/validate';
import { DEFAULT_PIXEL_LIMIT } from './decode';

/** Pieces of a file's bytes: a `Readable` of Node.js, a `ReadableStream`, or any other source that can be iterated over. */
export type ByteStream = AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>;

export function isByteStream(value: unknown): value is ByteStream {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

// An uncompressed RGBA picture of 16 bits, and something for what files hold besides.
const BYTES_PER_PIXEL = 8;
const BESIDES = 2 ** 26;

/**
 * All bytes of a stream, which is closed afterwards, also when it is left early.
 *
 * @param open gives the stream; what it throws is a failure of the stream
 * @param limit pixels that the image may have: a stream that goes on after as many bytes as they can take is refused
 * @throws SamError ERR_IO when the stream fails, ERR_IMAGE when it is too long, ERR_INVALID_ARGUMENT when it does not give bytes;
 *   the signal's reason
 */
export async function readByteStream(
  open: () => ByteStream,
  limit = DEFAULT_PIXEL_LIMIT,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const most = limit * BYTES_PER_PIXEL + BESIDES;
  const pieces: Uint8Array[] = [];
  let length = 0;
  let listener: Disposable | undefined;
  try {
    const stream = open();
    // Destroying ends a stream that waits for its next piece; the iterator's own end would wait for it.
    const source = isWebStream(stream) ? Readable.fromWeb(stream) : stream;
    if (signal && source instanceof Readable) listener = addAbortListener(signal, () => source.destroy());
    for await (const piece of source as AsyncIterable<unknown>) {
      signal?.throwIfAborted();
      if (!isTypedArray(piece, 'Uint8Array')) {
        throw invalidArgument('a piece of the image', 'Uint8Array', piece);
      }
      const bytes = piece as Uint8Array;
      length += bytes.length;
      if (length > most) {
        throw new SamError(
          'ERR_IMAGE',
          `Cannot decode the image stream: expected at most ${most} bytes for limitInputPixels (${limit})`,
        );
      }
      pieces.push(bytes);
    }
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    if (cause instanceof SamError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SamError('ERR_IO', `Cannot read the image stream: ${reason}`, { cause });
  } finally {
    listener?.[Symbol.dispose]();
  }
  return Buffer.concat(pieces);
}

function isWebStream(stream: ByteStream): stream is ReadableStream<Uint8Array> {
  return Object.prototype.toString.call(stream) === '[object ReadableStream]';
}
