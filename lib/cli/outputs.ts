// Files that a command writes: checked before the work starts, written beside their place, moved there when all are done.
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, chmod, realpath, rename, stat, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { SamError } from '../errors';
import { ioReason } from '../files/reason';
import { assertWritable } from '../files/writable';
import { badText } from '../options/text';
import { UsageError } from './errors';

/** A path and the option or argument that named it. */
export interface NamedPath {
  readonly option: string;
  readonly path: string;
}

/** A file to write, with the extensions that it may have. */
export interface OutputFile extends NamedPath {
  readonly extensions: readonly string[];
}

/** Extensions of masks, which must be stored without loss. */
export const MASK = ['.png', '.webp'];
/** Extensions of overlays. */
export const PICTURE = ['.png', '.jpg', '.jpeg', '.webp'];
export const JSON_FILE = ['.json'];
export const SAFETENSORS = ['.safetensors'];

/**
 * Checks that every output can be written and that no file has two roles. Nothing is written.
 *
 * @throws SamError ERR_INVALID_ARGUMENT, ERR_IO
 */
export async function checkOutputs(
  outputs: readonly OutputFile[],
  inputs: readonly NamedPath[],
): Promise<void> {
  for (const { option, path: file, extensions } of outputs) {
    if (!extensions.includes(path.extname(file).toLowerCase())) {
      throw badText(option, `path that ends in ${list(extensions)}`, file);
    }
  }
  const owners = new Map<string, NamedPath>();
  for (const input of inputs) owners.set(await identity(input.path), input);
  for (const output of outputs) {
    await assertWritable(output.path);
    await assertReplaceable(output.path);
    const id = await identity(output.path);
    const other = owners.get(id);
    if (other) {
      throw new UsageError(
        `Expected different files for ${other.option} and ${output.option} but received ${output.path} for both`,
      );
    }
    owners.set(id, output);
  }
}

/** Writes files so that they all appear, complete, or none does. */
export class Outputs {
  readonly #pending: { readonly temporary: string; readonly real: string; readonly target: string }[] = [];

  /**
   * Writes one file under a temporary name with the same extension.
   *
   * @param write gets the temporary path; its errors are reported under the real one
   */
  async write(target: string, write: (temporary: string) => Promise<void>): Promise<void> {
    // A link stays a link: what it points to is replaced.
    const real = await realpath(target).catch(() => target);
    // A short name: one made from the target's could be too long for the file system.
    const name = `.ba-sam-${randomBytes(6).toString('hex')}${path.extname(target)}`;
    const temporary = path.join(path.dirname(real), name);
    this.#pending.push({ temporary, real, target });
    try {
      await write(temporary);
      const old = await stat(real).catch(() => undefined);
      if (old) await chmod(temporary, old.mode & 0o777);
    } catch (error) {
      if (!(error instanceof SamError)) throw error;
      throw new SamError(error.code, error.message.replaceAll(temporary, target), { cause: error });
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
      const { temporary, real, target } = this.#pending[0]!;
      try {
        await rename(temporary, real);
      } catch (cause) {
        throw new SamError('ERR_IO', `Cannot write ${target}: ${ioReason(cause)}`, { cause });
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

/** @throws SamError ERR_IO */
export async function writeText(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (cause) {
    throw new SamError('ERR_IO', `Cannot write ${file}: ${ioReason(cause)}`, { cause });
  }
}

// A file is replaced by renaming, which needs a writable directory also when the file exists.
async function assertReplaceable(file: string): Promise<void> {
  const fail = (reason: string, cause?: unknown) =>
    new SamError('ERR_IO', `Cannot write ${file}: ${reason}`, { cause });
  const info = await stat(file).catch(() => undefined);
  if (info && !info.isFile()) throw fail('it is not a regular file');
  const directory = path.dirname(info ? await realpath(file) : file);
  try {
    await access(directory, constants.W_OK);
  } catch (cause) {
    throw fail(`the directory ${directory} is not writable`, cause);
  }
}

// The same file under any name: links and `./a/../b` included.
async function identity(file: string): Promise<string> {
  try {
    const { dev, ino } = await stat(file);
    return `${dev}:${ino}`;
  } catch {
    const directory = path.dirname(path.resolve(file));
    return path.join(await realpath(directory).catch(() => directory), path.basename(file));
  }
}

function list(items: readonly string[]): string {
  return items.length === 1 ? items[0]! : `${items.slice(0, -1).join(', ')} or ${items.at(-1)}`;
}
