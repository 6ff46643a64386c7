// How this package writes files: beside their place first, then moved there, so that nobody sees half of one.
import { randomBytes } from 'node:crypto';
import { open, rename, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { SamError } from '../errors';
import { ioReason } from './reason';
import { writablePlace } from './writable';

/** Puts the content of a file under a temporary path. */
export type WriteFile = (temporary: string) => Promise<void>;

/**
 * Replaces or creates one file: complete, or not at all. See {@link Outputs}.
 *
 * @throws SamError ERR_IO; what `write` throws
 */
export async function replaceFile(target: string, write: WriteFile): Promise<void> {
  const outputs = new Outputs();
  try {
    await outputs.write(target, write);
    await outputs.commit();
  } finally {
    await outputs.discard();
  }
}

/**
 * Writes files so that they all appear, complete, or none does. What a link points to is replaced, the link stays. A file that
 * is replaced leaves its permissions to the new one. Only regular files are replaced: never a device, FIFO, socket or directory.
 */
export class Outputs {
  readonly #pending: { readonly temporary: string; readonly place: string; readonly target: string }[] = [];

  /**
   * Writes one file under a temporary name with the same extension.
   *
   * @param write its errors are reported under `target`
   * @throws SamError ERR_IO; what `write` throws
   */
  async write(target: string, write: WriteFile): Promise<void> {
    const place = await writablePlace(target);
    // A short name: one made from the target's could be too long for the file system.
    const name = `.ba-sam-${randomBytes(6).toString('hex')}${path.extname(target).slice(0, 20)}`;
    const temporary = `${path.dirname(place)}/${name}`;
    this.#pending.push({ temporary, place, target });
    try {
      await write(temporary);
      await finish(temporary, place);
    } catch (error) {
      if (error instanceof SamError) {
        throw new SamError(error.code, error.message.replaceAll(temporary, target), { cause: error });
      }
      throw isSystemError(error) ? writeError(target, error) : error;
    }
  }

  /**
   * Moves every written file to its place.
   *
   * @returns the paths as they were given
   * @throws SamError ERR_IO
   */
  async commit(): Promise<string[]> {
    const done: string[] = [];
    while (this.#pending.length > 0) {
      const { temporary, place, target } = this.#pending[0]!;
      try {
        await rename(temporary, place);
      } catch (cause) {
        throw writeError(target, cause);
      }
      this.#pending.shift();
      done.push(target);
    }
    return done;
  }

  /** Removes what was written and not committed. */
  async discard(): Promise<void> {
    for (const { temporary } of this.#pending.splice(0)) await unlink(temporary).catch(() => {});
  }
}

async function finish(temporary: string, place: string): Promise<void> {
  const old = await stat(place).catch(() => undefined);
  const handle = await open(temporary, 'r');
  try {
    if (old) {
      const { uid, gid } = await handle.stat();
      // Only root may give a file away; who may not keeps it, as an editor does.
      if (old.uid !== uid || old.gid !== gid) await handle.chown(old.uid, old.gid).catch(() => {});
      await handle.chmod(old.mode & 0o777);
    }
    // Without it a power cut after the rename could leave an empty file under the final name.
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function writeError(target: string, cause: unknown): SamError {
  return new SamError('ERR_IO', `Cannot write ${target}: ${ioReason(cause)}`, { cause });
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}
