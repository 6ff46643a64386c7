// Reads and writes safetensors files: 8 bytes of header length, a JSON header, then the tensors back to back.
// What the reader refuses follows the official implementation (huggingface/safetensors, tensor.rs): gaps and
// overlaps would let two readers see different tensors in one file.
import { type FileHandle, open } from 'node:fs/promises';
import { describe, invalidArgument, SamError } from '../errors';
import { replaceFile } from '../files/outputs';
import { isTypedArray } from '../options/validate';
import { checkInPlace, TimeSlice } from '../time-slice';
import type { Checkpoint, TensorInfo } from './checkpoint';
import { type CheckpointDType, dtypeRank, MAX_DIMENSIONS, parseDType, tensorBytes } from './dtype';
import type { CheckpointFile } from './file';
import { HeaderError, HeaderScanner } from './header-json';

/** The official limit. */
const MAX_HEADER_BYTES = 100_000_000;
const MAX_TENSORS = 100_000;
const MAX_NAME_BYTES = 4096;
/** Bytes per write call, which are copied first: 0.5 ms. */
const WRITE_CHUNK_BYTES = 4 * 1024 * 1024;

interface Entry {
  readonly info: TensorInfo;
  /** Bytes from the start of the data section. */
  readonly begin: number;
  readonly end: number;
}

/** Lists the tensors of an open safetensors file. The checkpoint owns the file from then on. */
export async function openSafetensors(file: CheckpointFile): Promise<Checkpoint> {
  if (!(file.size >= 8))
    throw file.error(`is truncated: ${file.size} bytes, no room for a safetensors header`);
  const prefix = await file.read(0, 8);
  const declared = new DataView(prefix.buffer).getBigUint64(0, true);
  if (!(declared <= BigInt(MAX_HEADER_BYTES))) {
    throw file.error(`safetensors header of ${declared} bytes is longer than ${MAX_HEADER_BYTES}`);
  }
  const headerLength = Number(declared);
  if (!(headerLength <= file.size - 8)) {
    throw file.error(`is truncated: safetensors header of ${headerLength} bytes in a file of ${file.size}`);
  }
  const header = await parseHeader(file, await file.read(8, headerLength));
  const dataStart = 8 + headerLength;
  await checkLayout(file, header.entries, file.size - dataStart);

  return {
    path: file.path,
    files: [file.path],
    format: 'safetensors',
    tensors: header.tensors,
    metadata: header.metadata,
    async read(name) {
      const entry = header.entries.get(name);
      if (!entry) throw invalidArgument('name', `a tensor of ${file.path}`, name);
      return file.read(dataStart + entry.begin, entry.end - entry.begin);
    },
    close: () => file.close(),
  };
}

async function parseHeader(file: CheckpointFile, bytes: Uint8Array) {
  const tensors = new Map<string, TensorInfo>();
  const entries = new Map<string, Entry>();
  let metadata: Record<string, string> | undefined;
  const slice = new TimeSlice();
  try {
    const scan = new HeaderScanner(bytes);
    scan.expect('{');
    if (!scan.take('}')) {
      do {
        const name = scan.string(MAX_NAME_BYTES);
        scan.expect(':');
        if (name === '__metadata__') {
          if (metadata) throw new HeaderError('__metadata__ appears twice');
          metadata = await parseMetadata(scan, slice);
        } else {
          if (tensors.has(name)) throw new HeaderError(`tensor ${describe(name)} appears twice`);
          if (!(tensors.size < MAX_TENSORS)) throw new HeaderError(`more than ${MAX_TENSORS} tensors`);
          const entry = parseEntry(scan, name);
          entries.set(name, entry);
          tensors.set(name, entry.info);
        }
        if (slice.due()) await slice.next();
      } while (scan.take(','));
      scan.expect('}');
    }
    if (!scan.atEnd()) throw scan.error('something follows the header object');
  } catch (error) {
    if (error instanceof HeaderError) throw file.error(`invalid safetensors header: ${error.message}`);
    throw error;
  }
  return { tensors, entries, metadata: metadata ?? noMetadata() };
}

async function parseMetadata(scan: HeaderScanner, slice: TimeSlice): Promise<Record<string, string>> {
  const metadata = noMetadata();
  if (scan.takeNull()) return metadata;
  scan.expect('{');
  if (scan.take('}')) return metadata;
  let count = 0;
  do {
    const key = scan.string(MAX_NAME_BYTES);
    scan.expect(':');
    if (Object.hasOwn(metadata, key)) throw new HeaderError(`metadata ${describe(key)} appears twice`);
    if (!(count++ < MAX_TENSORS)) throw new HeaderError(`more than ${MAX_TENSORS} metadata entries`);
    metadata[key] = scan.string();
    if (slice.due()) await slice.next();
  } while (scan.take(','));
  scan.expect('}');
  return metadata;
}

function noMetadata(): Record<string, string> {
  // Without a prototype `__proto__` is a key like any other.
  return Object.create(null);
}

function parseEntry(scan: HeaderScanner, name: string): Entry {
  const title = describe(name);
  let dtype: CheckpointDType | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  const once = (field: string, value: unknown) => {
    if (value !== undefined) throw new HeaderError(`tensor ${title} has ${field} twice`);
  };
  scan.expect('{');
  if (!scan.take('}')) {
    do {
      const field = scan.string(MAX_NAME_BYTES);
      scan.expect(':');
      if (field === 'dtype') {
        once(field, dtype);
        const text = scan.string(MAX_NAME_BYTES);
        dtype = text === text.toUpperCase() ? parseDType(text.toLowerCase()) : undefined;
        if (!dtype) throw new HeaderError(`tensor ${title} has unknown dtype ${describe(text)}`);
      } else if (field === 'shape') {
        once(field, shape);
        shape = scan.integers(MAX_DIMENSIONS);
      } else if (field === 'data_offsets') {
        once(field, offsets);
        offsets = scan.integers(2);
      } else scan.skip();
    } while (scan.take(','));
    scan.expect('}');
  }
  if (!dtype || !shape || offsets?.length !== 2) {
    throw new HeaderError(`tensor ${title} needs dtype, shape and two data_offsets`);
  }
  const [begin, end] = offsets as [number, number];
  const byteLength = tensorBytes(dtype, shape);
  if (byteLength === undefined) {
    throw new HeaderError(`tensor ${title} of shape [${shape.join(', ')}] has no valid size`);
  }
  if (!(begin <= end) || end - begin !== byteLength) {
    throw new HeaderError(
      `tensor ${title} of dtype ${dtype} and shape [${shape.join(', ')}] needs ${byteLength} bytes ` +
        `but has data_offsets [${begin}, ${end}]`,
    );
  }
  return { info: { name, dtype, shape, byteLength }, begin, end };
}

/** The tensors must tile the data section: no gap, no overlap, nothing before or after. */
async function checkLayout(file: CheckpointFile, entries: ReadonlyMap<string, Entry>, length: number) {
  // Walking from tensor to tensor by a map of starts needs no sort, which could not be interrupted.
  const starts = new Map<number, Entry>();
  const slice = new TimeSlice();
  for (const entry of entries.values()) {
    if (!(entry.end <= length)) {
      throw file.error(
        `is truncated: tensor ${describe(entry.info.name)} ends at byte ${entry.end} of ${length} data bytes`,
      );
    }
    if (entry.begin < entry.end) {
      const other = starts.get(entry.begin);
      if (other) throw overlap(file, other, entry);
      starts.set(entry.begin, entry);
    }
    if (slice.due()) await slice.next();
  }
  let at = 0;
  let before: Entry | undefined;
  for (let seen = 0; seen < starts.size; seen++) {
    const entry = starts.get(at);
    if (!entry) {
      for (const other of starts.values()) {
        if (before && other !== before && other.begin >= before.begin && other.begin < before.end) {
          throw overlap(file, before, other);
        }
      }
      throw file.error(`safetensors data has a gap: no tensor starts at byte ${at}`);
    }
    at = entry.end;
    before = entry;
    if (slice.due()) await slice.next();
  }
  if (at !== length) throw file.error(`safetensors data has ${length - at} bytes that belong to no tensor`);
  for (const entry of entries.values()) {
    if (entry.begin === entry.end && entry.begin !== length && !starts.has(entry.begin)) {
      throw file.error(
        `empty tensor ${describe(entry.info.name)} lies inside another at byte ${entry.begin}`,
      );
    }
    if (slice.due()) await slice.next();
  }
}

function overlap(file: CheckpointFile, a: Entry, b: Entry): SamError {
  return file.error(`tensors ${describe(a.info.name)} and ${describe(b.info.name)} overlap`);
}

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
