// Random access to the entries of a zip archive: which exist, where their bytes lie, and their inflated content.
// yauzl parses the directory; entry data is read by position, since checkpoints store it uncompressed.
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';
import * as yauzl from 'yauzl';
import { describe, SamError } from '../errors';
import { TimeSlice } from '../time-slice';
import type { CheckpointFile } from './file';

/** ViT-H has about 600 entries. */
const MAX_ENTRIES = 20_000;
const LOCAL_HEADER_BYTES = 30;
const STORED = 0;
const DEFLATED = 8;
/** Deflate cannot do better than about 1032 to 1, so a larger promise is a lie. */
const MAX_DEFLATE_RATIO = 1032;
const INFLATE_CHUNK_BYTES = 1024 * 1024;
const WINDOW_BYTES = 64 * 1024;

interface ZipEntry {
  readonly name: string;
  readonly nameBytes: Buffer;
  readonly flags: number;
  readonly method: number;
  readonly compressedSize: number;
  /** Bytes of the content. */
  readonly size: number;
  readonly headerOffset: number;
  /** Where the entry's data starts; known once the local header has been checked. */
  dataStart?: number;
}

/** A zip archive whose directory has been read and checked. */
export class ZipArchive {
  private constructor(
    private readonly file: CheckpointFile,
    private readonly entries: ReadonlyMap<string, ZipEntry>,
  ) {}

  /**
   * Reads the directory of a zip archive.
   *
   * @throws SamError ERR_CHECKPOINT for a damaged directory, and for encrypted, duplicate or overlapping entries
   */
  static async open(file: CheckpointFile): Promise<ZipArchive> {
    const entries = new Map<string, ZipEntry>();
    let zip: yauzl.ZipFile;
    try {
      zip = await yauzl.fromRandomAccessReaderPromise(new Reader(file), file.size, {
        autoClose: false,
        // Names are compared as raw bytes: the archive's second spelling (a Unicode extra field) is a way to
        // show different names to different readers.
        decodeStrings: false,
        // checkEntry does it, and can tell an encrypted entry from a damaged one.
        validateEntrySizes: false,
      });
      // yauzl emits late errors after its iterator is done; without a listener they would end the process.
      zip.on('error', () => {});
      const slice = new TimeSlice();
      for await (const found of zip.eachEntry()) {
        if (!(entries.size < MAX_ENTRIES))
          throw file.error(`zip archive has more than ${MAX_ENTRIES} entries`);
        const entry = checkEntry(file, found);
        if (entries.has(entry.name)) throw file.error(`zip archive has two entries ${describe(entry.name)}`);
        entries.set(entry.name, entry);
        if (slice.due()) await slice.next();
      }
      zip.close();
    } catch (error) {
      if (error instanceof SamError) throw error;
      throw file.error(
        `is a damaged zip archive: ${error instanceof Error ? error.message : String(error)}`,
        {
          cause: error,
        },
      );
    }
    checkOverlap(file, [...entries.values()]);
    return new ZipArchive(file, entries);
  }

  names(): IterableIterator<string> {
    return this.entries.keys();
  }

  /** Bytes of an entry's content, or undefined when there is no such entry. */
  size(name: string): number | undefined {
    return this.entries.get(name)?.size;
  }

  /** Whether reading any part of an entry inflates all of it. */
  isDeflated(name: string): boolean {
    return this.entries.get(name)?.method === DEFLATED;
  }

  /**
   * Reads bytes `start` to `start + length` of an entry's content. A deflated entry is inflated from its
   * beginning to its end, but only that range is kept.
   */
  async read(name: string, start = 0, length?: number): Promise<Uint8Array<ArrayBuffer>> {
    const entry = this.entries.get(name);
    if (!entry) throw this.file.error(`zip archive has no entry ${describe(name)}`);
    const count = length ?? entry.size - start;
    if (!(start >= 0 && count >= 0 && start + count <= entry.size)) {
      throw this.file.error(`zip entry ${describe(name)} is too small: ${entry.size} bytes`);
    }
    const dataStart = await this.#locate(entry);
    if (entry.method === STORED) return this.file.read(dataStart + start, count);
    return this.#inflate(entry, dataStart, start, count);
  }

  /** Checks the header in front of an entry's data against the directory. */
  async #locate(entry: ZipEntry): Promise<number> {
    if (entry.dataStart !== undefined) return entry.dataStart;
    const title = `zip entry ${describe(entry.name)}`;
    const header = await this.file.read(entry.headerOffset, LOCAL_HEADER_BYTES + entry.nameBytes.length);
    const view = new DataView(header.buffer);
    if (view.getUint32(0, true) !== 0x04034b50) throw this.file.error(`${title} has no local header`);
    const nameLength = view.getUint16(26, true);
    const extraLength = view.getUint16(28, true);
    const agrees =
      view.getUint16(6, true) === entry.flags &&
      view.getUint16(8, true) === entry.method &&
      nameLength === entry.nameBytes.length &&
      entry.nameBytes.equals(header.subarray(LOCAL_HEADER_BYTES)) &&
      // With flag bit 3 the sizes follow the data; 0xffffffff stands for a 64-bit size in the extra field.
      ((entry.flags & 8) !== 0 ||
        (sameSize(view.getUint32(18, true), entry.compressedSize) &&
          sameSize(view.getUint32(22, true), entry.size)));
    if (!agrees) throw this.file.error(`${title}: its local header disagrees with the directory`);
    const dataStart = entry.headerOffset + LOCAL_HEADER_BYTES + nameLength + extraLength;
    if (!(dataStart + entry.compressedSize <= this.file.size)) throw this.file.error(`${title} is truncated`);
    entry.dataStart = dataStart;
    return dataStart;
    // The CRC is not checked: PyTorch does not either, and can be told to write none.
  }

  async #inflate(entry: ZipEntry, dataStart: number, start: number, length: number) {
    const title = `zip entry ${describe(entry.name)}`;
    const file = this.file;
    const target = file.allocate(length);
    let at = 0;
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        const from = Math.max(start - at, 0);
        const to = Math.min(start + length - at, chunk.length);
        if (from < to) target.set(chunk.subarray(from, to), at + from - start);
        at += chunk.length;
        done(at <= entry.size ? null : file.error(`${title} inflates to more than its ${entry.size} bytes`));
      },
    });
    async function* compressed() {
      for (let done = 0; done < entry.compressedSize; done += INFLATE_CHUNK_BYTES) {
        yield await file.read(dataStart + done, Math.min(INFLATE_CHUNK_BYTES, entry.compressedSize - done));
      }
    }
    try {
      await pipeline(Readable.from(compressed()), createInflateRaw({ chunkSize: 256 * 1024 }), sink);
    } catch (error) {
      if (error instanceof SamError) throw error;
      throw file.error(`${title} cannot be inflated: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    }
    if (at !== entry.size) throw file.error(`${title} inflates to ${at} bytes instead of ${entry.size}`);
    return target;
  }
}

function checkEntry(file: CheckpointFile, found: yauzl.Entry): ZipEntry {
  const nameBytes = found.fileNameRaw;
  const name = nameBytes.toString('utf8');
  const title = `zip entry ${describe(name)}`;
  if (found.generalPurposeBitFlag & 0x2041) throw file.error(`${title} is encrypted`);
  const { compressionMethod: method, compressedSize, uncompressedSize: size } = found;
  if (method !== STORED && method !== DEFLATED) {
    throw file.error(`${title} is compressed by method ${method}; expected stored or deflated`);
  }
  const headerOffset = found.relativeOffsetOfLocalHeader;
  if (!(headerOffset + LOCAL_HEADER_BYTES + nameBytes.length + compressedSize <= file.size)) {
    throw file.error(`is truncated: ${title} ends beyond the file`);
  }
  if (method === STORED ? size !== compressedSize : !(size <= (compressedSize + 1) * MAX_DEFLATE_RATIO)) {
    throw file.error(`${title} has impossible sizes: ${compressedSize} bytes for ${size} bytes of content`);
  }
  return { name, nameBytes, flags: found.generalPurposeBitFlag, method, compressedSize, size, headerOffset };
}

/** Overlapping entries are how a small archive claims to hold petabytes. */
function checkOverlap(file: CheckpointFile, entries: ZipEntry[]): void {
  entries.sort((a, b) => a.headerOffset - b.headerOffset);
  for (let i = 1; i < entries.length; i++) {
    const before = entries[i - 1]!;
    const end = before.headerOffset + LOCAL_HEADER_BYTES + before.nameBytes.length + before.compressedSize;
    if (!(end <= entries[i]!.headerOffset)) {
      throw file.error(`zip entries ${describe(before.name)} and ${describe(entries[i]!.name)} overlap`);
    }
  }
}

function sameSize(local: number, central: number): boolean {
  return local === 0xffffffff || local === central;
}

/** Lets yauzl read through our file handle, which stays ours to close. */
class Reader extends yauzl.RandomAccessReader {
  /** The part of the file read last: yauzl asks for two small pieces per entry, one after the other. */
  #window = new Uint8Array(0);
  #windowStart = 0;

  constructor(private readonly file: CheckpointFile) {
    super();
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    this.#read(buffer.subarray(offset, offset + length), position).then(
      () => callback(null, length),
      (error) => callback(error),
    );
  }

  async #read(target: Uint8Array, position: number): Promise<void> {
    const end = position + target.length;
    if (!(position >= this.#windowStart && end <= this.#windowStart + this.#window.length)) {
      const size = Math.min(WINDOW_BYTES, this.file.size - position);
      if (!(size >= target.length)) return this.file.readInto(target, position);
      this.#window = await this.file.read(position, size);
      this.#windowStart = position;
    }
    target.set(this.#window.subarray(position - this.#windowStart, end - this.#windowStart));
  }

  override close(callback: (error: Error | null) => void): void {
    setImmediate(callback, null);
  }
}
