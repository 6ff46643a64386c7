// Files that a command writes, checked before the work starts.
import { realpath, stat } from 'node:fs/promises';
import path from 'node:path';
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
