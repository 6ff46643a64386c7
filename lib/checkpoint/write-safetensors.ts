// Writes safetensors files, ordered as the official writer orders them (huggingface/safetensors, tensor.rs).
import { type FileHandle, open } from 'node:fs/promises';
import { describe, invalidArgument, SamError } from '../errors';
import { replaceFile } from '../files/outputs';
import { isTypedArray } from '../options/validate';
import { checkInPlace } from '../time-slice';
import { type CheckpointDType, dtypeRank, MAX_DIMENSIONS, parseDType, tensorBytes } from './dtype';
import { MAX_HEADER_BYTES, MAX_NAME_BYTES } from './header-json';

/** Bytes per write call, which are copied first: 0.5 ms. */
const WRITE_CHUNK_BYTES = 4 * 1024 * 1024;

/** A tensor to write: contiguous, row-major, little-endian. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: CheckpointDType;
  readonly shape: readonly number[];
  /** Exactly the bytes of the tensor; a Float32Array is for dtype `f32`. Not to be changed until the promise settles. */
  readonly data: Uint8Array | Float32Array;
}

/**
 * Writes a safetensors file as the official writer does: header padded to 8 bytes, tensors ordered by falling
 * alignment, then by name. The file appears under `path` only when it is complete (a temporary file beside it,
 * then a rename), so a reader never sees half of it and a failure leaves an older file in place. Links are followed, the
 * permissions of an older file stay, and what is no regular file is refused.
 *
 * @throws SamError ERR_INVALID_ARGUMENT, ERR_IO; the message names `path`
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  if (typeof path !== 'string' || path.length === 0) throw invalidArgument('path', 'non-empty string', path);
  const sorted = sortTensors(path, tensors);
  const header = writeHeader(path, sorted, metadata);
  const lengths = sorted.map(({ data }) => data.byteLength);

  await replaceFile(path, async (temporary) => {
    const handle = await open(temporary, 'wx');
    try {
      await writeAll(handle, header);
      for (const [i, { name, data }] of sorted.entries()) {
        await writeCopy(handle, data, lengths[i]!, `${path}: tensors[${describe(name)}].data`);
      }
    } finally {
      await handle.close();
    }
  });
}

function sortTensors(path: string, tensors: readonly TensorToWrite[]): TensorToWrite[] {
  if (!Array.isArray(tensors)) throw invalidArgument(`${path}: tensors`, 'array of tensors', tensors);
  const names = new Set<string>();
  // Array.from: a hole of a sparse array is a tensor that is missing.
  for (const [index, tensor] of Array.from<unknown>(tensors).entries()) {
    if (typeof tensor !== 'object' || tensor === null) {
      throw invalidArgument(`${path}: tensors.${index}`, 'tensor', tensor);
    }
    const { name, dtype, shape, data } = tensor as TensorToWrite;
    if (typeof name !== 'string' || name === '__metadata__' || /\p{Surrogate}/u.test(name)) {
      throw invalidArgument(`${path}: name`, 'well-formed string other than __metadata__', name);
    }
    const title = `${path}: tensors[${describe(name)}]`;
    if (!(Buffer.byteLength(name) <= MAX_NAME_BYTES)) {
      throw invalidArgument(`${path}: name`, `string of at most ${MAX_NAME_BYTES} bytes`, name);
    }
    if (names.has(name)) throw invalidArgument(`${path}: name`, 'a different name for every tensor', name);
    names.add(name);
    if (typeof dtype !== 'string' || !parseDType(dtype) || dtype === 'c32' || dtype === 'c128') {
      throw invalidArgument(`${title}.dtype`, 'an element type of the safetensors format', dtype);
    }
    const bytes =
      Array.isArray(shape) && shape.length <= MAX_DIMENSIONS ? tensorBytes(dtype, shape) : undefined;
    if (bytes === undefined) {
      throw invalidArgument(
        `${title}.shape`,
        'array of non-negative integers with a representable size',
        shape,
      );
    }
    const fits = isTypedArray(data, 'Uint8Array') || (isTypedArray(data, 'Float32Array') && dtype === 'f32');
    if (!fits || data.byteLength !== bytes) {
      throw invalidArgument(
        `${title}.data`,
        `Uint8Array of ${bytes} bytes${dtype === 'f32' ? ` or Float32Array of ${bytes / 4} elements` : ''}`,
        data,
      );
    }
  }
  return [...tensors].sort(
    (a, b) =>
      dtypeRank(b.dtype) - dtypeRank(a.dtype) || Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)),
  );
}

function writeHeader(
  path: string,
  sorted: readonly TensorToWrite[],
  metadata?: Readonly<Record<string, string>>,
): Buffer {
  const parts: string[] = [];
  if (metadata !== undefined) {
    if (typeof metadata !== 'object' || metadata === null) {
      throw invalidArgument(`${path}: metadata`, 'object of strings', metadata);
    }
    const entries = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [key, value] of entries) {
      if (typeof value !== 'string' || /\p{Surrogate}/u.test(key + value)) {
        throw invalidArgument(`${path}: metadata.${key}`, 'well-formed string', value);
      }
    }
    // Written by hand: as an object literal the key `__proto__` would vanish.
    const body = entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',');
    parts.push(`"__metadata__":{${body}}`);
  }
  let at = 0;
  for (const { name, dtype, shape, data } of sorted) {
    const entry = { dtype: dtype.toUpperCase(), shape, data_offsets: [at, at + data.byteLength] };
    parts.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    at += data.byteLength;
  }
  const json = Buffer.from(`{${parts.join(',')}}`);
  const padded = Math.ceil(json.length / 8) * 8;
  if (!(padded <= MAX_HEADER_BYTES)) {
    throw new SamError('ERR_INVALID_ARGUMENT', `${path}: the header would have ${padded} bytes`);
  }
  const header = Buffer.alloc(8 + padded, ' ');
  header.writeBigUInt64LE(BigInt(padded), 0);
  json.copy(header, 8);
  return header;
}

// Through memory of its own: the thread that writes would go on reading a buffer that is transferred and freed meanwhile.
async function writeCopy(
  handle: FileHandle,
  data: Uint8Array | Float32Array,
  byteLength: number,
  name: string,
): Promise<void> {
  const piece = Buffer.allocUnsafeSlow(Math.min(byteLength, WRITE_CHUNK_BYTES));
  for (let at = 0; at < byteLength; at += piece.length) {
    checkInPlace({ length: data.byteLength }, byteLength, name);
    const length = Math.min(byteLength - at, piece.length);
    piece.set(new Uint8Array(data.buffer, data.byteOffset + at, length));
    await writeAll(handle, piece.subarray(0, length));
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) done += (await handle.write(bytes, done)).bytesWritten;
}
