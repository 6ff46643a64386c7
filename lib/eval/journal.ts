// The journal of an evaluation: every finished row is appended to a file, so that a killed evaluation goes on where it was.
//
// A file of JSON lines. The first says what is evaluated, each further one holds a row or a sample that could not be
// used; the last entry of each is a checksum of what stands before it. Rows may come in any order; who reads them asks for
// them in the order that he needs. Only offsets are held in memory.
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { SamError } from '../errors';
import { kindReason } from '../files/kind';
import { ioReason } from '../files/reason';
import {
  compareHeader,
  type EvaluationRow,
  type Failure,
  type Fingerprint,
  headerOf,
  invalidJournal,
  readEntry,
} from './journal-entries';
import { content, lineOf, lines } from './journal-lines';

/** An evaluation's journal, open for appending and reading. */
export class Journal {
  /** Byte at which a row's line begins, by sample · cells + cell; −1 = there is none. */
  private readonly offsets: Float64Array;
  private readonly lengths: Uint32Array;
  private readonly failed = new Map<number, string>();
  private end = 0;
  /** Appends wait for each other: two at once would know wrong offsets. */
  private last: Promise<void> = Promise.resolve();

  private constructor(
    readonly path: string,
    private readonly file: FileHandle,
    private readonly samples: number,
    private readonly cells: number,
  ) {
    this.offsets = new Float64Array(samples * cells).fill(-1);
    this.lengths = new Uint32Array(samples * cells);
  }

  /**
   * Begins a journal.
   *
   * @throws SamError ERR_IO, also when something is there that is no file
   */
  static async create(
    path: string,
    fingerprint: Fingerprint,
    samples: number,
    cells: number,
  ): Promise<Journal> {
    // Under another name first: a journal without its first line never exists.
    const temporary = `${path}.part`;
    const line = lineOf(headerOf(fingerprint));
    await Journal.exists(path);
    try {
      await writeFile(temporary, line);
      await rename(temporary, path);
    } catch (cause) {
      await unlink(temporary).catch(() => {});
      throw failure('write', path, cause);
    }
    const journal = new Journal(path, await openFile(path, 'r+'), samples, cells);
    journal.end = line.length;
    return journal;
  }

  /**
   * Opens a journal to go on with. A last line that was torn by the end of the process is cut off.
   *
   * @throws SamError ERR_IO when there is none; ERR_INVALID_ARGUMENT when it is damaged or of an evaluation with another
   *   fingerprint
   */
  static async resume(
    path: string,
    fingerprint: Fingerprint,
    samples: number,
    cells: number,
  ): Promise<Journal> {
    const journal = new Journal(path, await openFile(path, 'r+'), samples, cells);
    try {
      await journal.load(fingerprint);
      return journal;
    } catch (error) {
      await journal.close();
      throw error;
    }
  }

  /**
   * Checks a journal without changing it: what {@link Journal.resume} would refuse by its first line is refused.
   *
   * @throws SamError as {@link Journal.resume}
   */
  static async check(path: string, fingerprint: Fingerprint): Promise<void> {
    const file = await openFile(path, 'r');
    try {
      const { value } = await lines(file).next();
      compareHeader(path, value?.complete ? value.bytes : undefined, fingerprint);
    } finally {
      await file.close();
    }
  }

  /**
   * Whether a journal is there already.
   *
   * @throws SamError ERR_IO when there is something else, such as a folder or a pipe, or when nobody can know
   */
  static async exists(path: string): Promise<boolean> {
    try {
      assertRegular(path, await stat(path));
      return true;
    } catch (cause) {
      if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) return false;
      throw cause instanceof SamError ? cause : failure('read', path, cause);
    }
  }

  has(sample: number, cell: number): boolean {
    return this.offsets[sample * this.cells + cell] !== -1;
  }

  /** Why a sample could not be used; undefined when it could, or was not tried. */
  failure(sample: number): string | undefined {
    return this.failed.get(sample);
  }

  /** Number of rows; those of samples that failed later are counted. */
  get rows(): number {
    let count = 0;
    for (const offset of this.offsets) if (offset !== -1) count++;
    return count;
  }

  /**
   * Adds a row or a failure; it survives the end of this process once the promise is fulfilled.
   *
   * @throws SamError ERR_IO
   */
  append(entry: EvaluationRow | Failure): Promise<void> {
    const bytes = lineOf(entry);
    this.last = this.last.then(async () => {
      try {
        for (let at = 0; at < bytes.length; ) {
          at += (await this.file.write(bytes, at, bytes.length - at, this.end + at)).bytesWritten;
        }
      } catch (cause) {
        throw failure('write', this.path, cause);
      }
      this.note(entry, bytes.length - 1);
      this.end += bytes.length;
    });
    return this.last;
  }

  /**
   * Reads a row that {@link Journal.has}.
   *
   * @throws SamError ERR_IO, also when it changed meanwhile
   */
  async read(sample: number, cell: number): Promise<EvaluationRow> {
    const at = sample * this.cells + cell;
    const bytes = Buffer.alloc(this.lengths[at]!);
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesRead } = await this.file.read(
          bytes,
          done,
          bytes.length - done,
          this.offsets[at]! + done,
        );
        if (bytesRead === 0) throw new Error('it was cut off meanwhile');
        done += bytesRead;
      }
      const row = content(bytes);
      if (row === undefined) throw new Error('it changed meanwhile');
      return row as EvaluationRow;
    } catch (cause) {
      throw failure('read', this.path, cause);
    }
  }

  /** Whether there is neither a row nor a failure. */
  get isEmpty(): boolean {
    return this.rows === 0 && this.failed.size === 0;
  }

  /** @param remove also delete the file */
  async close(remove = false): Promise<void> {
    await this.file.close();
    if (remove) await unlink(this.path).catch(() => {});
  }

  private note(entry: EvaluationRow | Failure, length: number): void {
    if ('reason' in entry) {
      this.failed.set(entry.sample, entry.reason);
      return;
    }
    const at = entry.sample * this.cells + entry.cell;
    this.offsets[at] = this.end;
    this.lengths[at] = length;
  }

  private async load(fingerprint: Fingerprint): Promise<void> {
    let number = 0;
    let damaged: number | undefined;
    for await (const { bytes, complete } of lines(this.file)) {
      number++;
      if (number === 1) compareHeader(this.path, complete ? bytes : undefined, fingerprint);
      else if (damaged !== undefined) {
        throw invalidJournal(`${this.path}: expected a row in line ${damaged} but found damaged text`);
      } else {
        const entry = complete ? this.parse(bytes) : undefined;
        // The last line may be torn; with anything after it, it is damage.
        if (!entry) damaged = number;
        else this.note(entry, bytes.length);
      }
      if (damaged === undefined) this.end += bytes.length + 1;
    }
    if (number === 0) compareHeader(this.path, undefined, fingerprint);
    await this.file.truncate(this.end);
  }

  private parse(bytes: Buffer): EvaluationRow | Failure | undefined {
    const entry = readEntry(bytes);
    if (!entry || entry.sample >= this.samples) return undefined;
    return 'cell' in entry && entry.cell >= this.cells ? undefined : entry;
  }
}

async function openFile(path: string, flags: 'r' | 'r+'): Promise<FileHandle> {
  const what = flags === 'r' ? 'read' : 'write';
  let file: FileHandle | undefined;
  try {
    // Opening a pipe would wait for its other end.
    file = await open(path, (flags === 'r' ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NONBLOCK);
    assertRegular(path, await file.stat());
    return file;
  } catch (cause) {
    await file?.close();
    throw cause instanceof SamError ? cause : failure(what, path, cause);
  }
}

function assertRegular(path: string, info: Stats): void {
  const reason = kindReason(info);
  if (reason === undefined) return;
  throw new SamError('ERR_IO', `Cannot use ${path} as the journal of an evaluation: ${reason}`);
}

function failure(what: 'read' | 'write', path: string, cause: unknown): SamError {
  return new SamError('ERR_IO', `Cannot ${what} ${path}: ${ioReason(cause)}`, { cause });
}
