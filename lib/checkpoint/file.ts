// Positioned reads on one open checkpoint file, and errors that begin with the path.
import { constants, type FileHandle, open, stat } from 'node:fs/promises';
import { invalidArgument, SamError } from '../errors';

/** One request to the thread pool. It bounds how long `close` waits, and Linux reads less than 2 GiB at a time. */
const READ_CHUNK_BYTES = 64 * 1024 * 1024;

/** A file opened for reading. Every method rejects with {@link SamError} only. */
export class CheckpointFile {
  #handle: FileHandle | undefined;

  private constructor(
    readonly path: string,
    /** Bytes in the file when it was opened. */
    readonly size: number,
    handle: FileHandle,
  ) {
    this.#handle = handle;
  }

  /**
   * Opens a regular file. Anything else is refused before it is opened, since opening a pipe would wait for
   * its writer.
   *
   * @throws SamError ERR_INVALID_ARGUMENT, ERR_IO (cannot be opened), ERR_CHECKPOINT (a directory, a device, …)
   */
  static async open(path: string): Promise<CheckpointFile> {
    checkPath(path);
    let handle: FileHandle | undefined;
    try {
      const found = await stat(path);
      if (found.isDirectory()) {
        throw checkpointError(path, 'is a directory; expected a .safetensors, .pt or .pth file');
      }
      if (!found.isFile()) throw checkpointError(path, 'is not a regular file');
      handle = await open(path, constants.O_RDONLY);
      return new CheckpointFile(path, (await handle.stat()).size, handle);
    } catch (error) {
      await handle?.close().catch(() => {});
      if (error instanceof SamError) throw error;
      throw ioError(path, 'cannot be opened', error);
    }
  }

  /** Fills `target` from byte `position` on. */
  async readInto(target: Uint8Array, position: number): Promise<void> {
    if (!(Number.isSafeInteger(position) && position >= 0 && position + target.byteLength <= this.size)) {
      throw this.error(
        `is truncated: expected ${target.byteLength} bytes at ${position} but the file has ${this.size}`,
      );
    }
    let done = 0;
    while (done < target.byteLength) {
      const handle = this.#handle;
      if (!handle) throw new SamError('ERR_DISPOSED', `${this.path}: the checkpoint is closed`);
      let got: number;
      try {
        const length = Math.min(target.byteLength - done, READ_CHUNK_BYTES);
        got = (await handle.read(target, done, length, position + done)).bytesRead;
      } catch (error) {
        throw ioError(this.path, 'cannot be read', error);
      }
      if (got === 0) throw this.error(`shrank while it was read: nothing at byte ${position + done}`);
      done += got;
    }
  }

  /** A fresh buffer with `length` bytes from byte `position` on. */
  async read(position: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const target = this.allocate(length);
    await this.readInto(target, position);
    return target;
  }

  /** A fresh zeroed buffer that belongs to nobody else (no pool), or ERR_OUT_OF_MEMORY. */
  allocate(length: number): Uint8Array<ArrayBuffer> {
    try {
      return new Uint8Array(length);
    } catch (error) {
      throw new SamError('ERR_OUT_OF_MEMORY', `${this.path}: no memory for a buffer of ${length} bytes`, {
        cause: error,
      });
    }
  }

  /** An ERR_CHECKPOINT error about this file. */
  error(message: string, options?: { cause?: unknown }): SamError {
    return checkpointError(this.path, message, options);
  }

  /** Closes the file after pending reads; later reads reject with ERR_DISPOSED. Safe to call again. */
  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    try {
      await handle?.close();
    } catch (error) {
      throw ioError(this.path, 'cannot be closed', error);
    }
  }
}

/** @throws SamError ERR_INVALID_ARGUMENT for what cannot be a path */
export function checkPath(path: unknown): void {
  if (typeof path !== 'string' || path.length === 0) throw invalidArgument('path', 'non-empty string', path);
  if (path.includes('\0')) throw invalidArgument('path', 'string without null bytes', path);
}

/** `path: message` with code ERR_CHECKPOINT. */
export function checkpointError(path: string, message: string, options?: { cause?: unknown }): SamError {
  return new SamError('ERR_CHECKPOINT', `${path}: ${message}`, options);
}

/** `path: what (reason)` with code ERR_IO. */
function ioError(path: string, what: string, cause: unknown): SamError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new SamError('ERR_IO', `${path}: ${what} (${reason})`, { cause });
}
