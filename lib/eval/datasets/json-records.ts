// Reads the lists of a JSON file record by record: a file of any size in constant memory, in steps of a few
// milliseconds. Why not JSON.parse of the whole, measured on files of the form of COCO's instances_train2017.json (118,287
// images, 860,001 annotations; Node.js 20, two cores of an AMD EPYC, 2026-11-28; everything is checked when streamed):
//
//   504 MB   JSON.parse   6.6 s   event loop held up for 6.6 s    peak of 1190 MB
//   504 MB   this file    8.0 s   event loop held up for 0.05 s   peak of 250 MB
//   630 MB   JSON.parse   fails: a string may have 2^29 - 24 characters
//   630 MB   this file    9.7 s   event loop held up for 0.1 s    peak of 250 MB
//
// A streaming parser of the registry was measured, too: 24 times as long as this file.
import type { FileHandle } from 'node:fs/promises';
import { SamError } from '../../errors';
import { readError } from '../../files/kind';
import { TimeSlice } from '../../time-slice';

/** Longest element of a list, or other value, in bytes: one JSON.parse stays below some 50 ms. */
const MAX_RECORD_BYTES = 4 * 1024 * 1024;
const MAX_DEPTH = 64;
const CHUNK_BYTES = 1024 * 1024;

/** U+FEFF in UTF-8, with which Windows tools begin a text. */
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Where an element was found. */
export interface RecordSpan {
  /** Place in its list. */
  readonly index: number;
  /** Byte of the file at which it begins, and how many it has. */
  readonly position: number;
  readonly length: number;
}

/** What a file holds, in its order. */
export interface Handlers {
  /** A list begins. */
  readonly list?: (key: string) => void;
  /** An element of the list with this key. */
  readonly element: (key: string, value: unknown, span: RecordSpan) => void;
  /** A value that is no list. */
  readonly value?: (key: string, value: unknown) => void;
}

/**
 * Reads `{"key": [element, …], "key": value, …}`, with or without a byte order mark. Every value is checked to be JSON.
 *
 * @param path for messages
 * @throws SamError ERR_IO; ERR_DATASET when the file is no such object, is truncated, has a key twice or an element
 *   above 4 MiB
 */
export async function readRecords(file: FileHandle, path: string, handlers: Handlers): Promise<void> {
  const reader = new Reader(file, path);
  const slice = new TimeSlice();
  const keys = new Set<string>();
  await reader.skipByteOrderMark();
  await reader.expect(OPEN_OBJECT);
  if (!(await reader.take(CLOSE_OBJECT))) {
    do {
      const key = await readKey(reader);
      if (keys.has(key)) throw reader.error(`the key ${JSON.stringify(key)} occurs twice`);
      keys.add(key);
      await reader.expect(COLON);
      if (await reader.take(OPEN_LIST)) {
        handlers.list?.(key);
        await readList(reader, slice, key, handlers);
      } else {
        // Also read where nobody asks for it.
        const value = reader.parse(await reader.element(key), key);
        handlers.value?.(key, value);
      }
    } while (await reader.take(COMMA));
    await reader.expect(CLOSE_OBJECT);
  }
  await reader.expectEnd();
}

async function readKey(reader: Reader): Promise<string> {
  const element = await reader.element('a key');
  const key = reader.parse(element, 'a key');
  if (typeof key !== 'string') throw reader.error('expected a key in quotes', element.position);
  return key;
}

async function readList(reader: Reader, slice: TimeSlice, key: string, handlers: Handlers): Promise<void> {
  if (await reader.take(CLOSE_LIST)) return;
  for (let index = 0; ; index++) {
    // No promise per element while the window holds more of them: there may be millions.
    const element = reader.elementInWindow() ?? (await reader.element(`${key}[${index}]`));
    const { position, length } = element;
    handlers.element(key, reader.parse(element, `${key}[${index}]`), { index, position, length });
    if (slice.due()) await slice.next();
    const next = reader.nextInWindow() ?? (await reader.next());
    if (next === CLOSE_LIST) return;
    if (next !== COMMA) throw reader.error(`expected , or ] behind ${key}[${index}]`, reader.position - 1);
  }
}

interface Element {
  readonly begin: number;
  readonly position: number;
  readonly length: number;
}

// A window of the file: bytes [at, end) of `bytes` are read and not yet used.
class Reader {
  #bytes = Buffer.allocUnsafe(2 * CHUNK_BYTES);
  #at = 0;
  #end = 0;
  /** Where in the file the window's first byte lies. */
  #base = 0;

  constructor(
    private readonly file: FileHandle,
    private readonly path: string,
  ) {}

  /** Byte of the file that comes next. */
  get position(): number {
    return this.#base + this.#at;
  }

  error(message: string, position = this.position): SamError {
    return new SamError('ERR_DATASET', `${this.path}: ${message} (at byte ${position})`);
  }

  /** Consumes the next byte that is no space; undefined when the window holds none. */
  nextInWindow(): number | undefined {
    this.#skipSpace();
    return this.#at < this.#end ? this.#bytes[this.#at++] : undefined;
  }

  async next(): Promise<number> {
    for (;;) {
      const byte = this.nextInWindow();
      if (byte !== undefined) return byte;
      if (!(await this.#fill())) throw this.error('the file ends in the middle');
    }
  }

  async take(byte: number): Promise<boolean> {
    if ((await this.next()) === byte) return true;
    this.#at--;
    return false;
  }

  async expect(byte: number): Promise<void> {
    if (await this.take(byte)) return;
    const found = JSON.stringify(String.fromCharCode(this.#bytes[this.#at]!));
    throw this.error(`expected ${String.fromCharCode(byte)} but found ${found}`);
  }

  async skipByteOrderMark(): Promise<void> {
    await this.#fill();
    if (this.#end >= 3 && BYTE_ORDER_MARK.equals(this.#bytes.subarray(0, 3))) this.#at = 3;
  }

  async expectEnd(): Promise<void> {
    do {
      if (this.nextInWindow() !== undefined) {
        throw this.error('expected the end of the file', this.position - 1);
      }
    } while (await this.#fill());
  }

  /** Consumes one value; undefined when the window ends before it does. */
  elementInWindow(): Element | undefined {
    this.#skipSpace();
    const begin = this.#at;
    const end = this.#endOfValue(begin);
    if (end === undefined) return undefined;
    this.#at = end;
    return { begin, position: this.#base + begin, length: end - begin };
  }

  async element(name: string): Promise<Element> {
    for (;;) {
      const element = this.elementInWindow();
      if (element) return element;
      if (this.#end - this.#at > MAX_RECORD_BYTES) throw this.#tooLong(name, this.position);
      if (!(await this.#fill())) throw this.error('the file ends in the middle');
    }
  }

  /** The value of an element that was just consumed. */
  parse({ begin, position, length }: Element, name: string): unknown {
    if (length === 0) throw this.error(`expected a value for ${name}`, position);
    if (length > MAX_RECORD_BYTES) throw this.#tooLong(name, position);
    try {
      return JSON.parse(this.#bytes.toString('utf8', begin, begin + length));
    } catch (cause) {
      throw this.error(`${name} is not valid JSON: ${(cause as Error).message}`, position);
    }
  }

  #tooLong(name: string, position: number): SamError {
    return this.error(`expected at most ${MAX_RECORD_BYTES} bytes for ${name}`, position);
  }

  #skipSpace(): void {
    while (this.#at < this.#end && isSpace(this.#bytes[this.#at]!)) this.#at++;
  }

  // Only finds the end: JSON.parse looks at what is in between.
  #endOfValue(begin: number): number | undefined {
    const bytes = this.#bytes;
    const end = this.#end;
    let depth = 0;
    for (let i = begin; i < end; i++) {
      const byte = bytes[i]!;
      if (byte === QUOTE) {
        for (i++; i < end && bytes[i] !== QUOTE; i++) if (bytes[i] === BACKSLASH) i++;
        if (i >= end) return undefined;
        if (depth === 0) return i + 1;
      } else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
        if (++depth > MAX_DEPTH) {
          throw this.error(`values lie more than ${MAX_DEPTH} deep`, this.#base + begin);
        }
      } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
        if (depth === 0) return i;
        if (--depth === 0) return i + 1;
      } else if (depth === 0 && (byte === COMMA || byte === COLON || isSpace(byte))) return i;
    }
    return undefined;
  }

  // Reads on behind the window, which first moves to the buffer's beginning. False at the end of the file.
  async #fill(): Promise<boolean> {
    this.#bytes.copyWithin(0, this.#at, this.#end);
    this.#base += this.#at;
    this.#end -= this.#at;
    this.#at = 0;
    if (this.#bytes.length - this.#end < CHUNK_BYTES) {
      this.#bytes = Buffer.concat([this.#bytes], 2 * this.#bytes.length);
    }
    try {
      const position = this.#base + this.#end;
      const { bytesRead } = await this.file.read(this.#bytes, this.#end, CHUNK_BYTES, position);
      this.#end += bytesRead;
      return bytesRead > 0;
    } catch (cause) {
      throw readError(this.path, cause);
    }
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
