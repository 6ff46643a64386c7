// Reads safetensors files: 8 bytes of header length, a JSON header, then the tensors back to back.
// What is refused follows the official implementation (huggingface/safetensors, tensor.rs): gaps and
// overlaps would let two readers see different tensors in one file.
import { describe, invalidArgument, type SamError } from '../errors';
import { TimeSlice } from '../time-slice';
import type { Checkpoint, TensorInfo } from './checkpoint';
import { type CheckpointDType, MAX_DIMENSIONS, parseDType, tensorBytes } from './dtype';
import type { CheckpointFile } from './file';
import { HeaderError, HeaderScanner, MAX_HEADER_BYTES, MAX_NAME_BYTES, MAX_TENSORS } from './header-json';

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
