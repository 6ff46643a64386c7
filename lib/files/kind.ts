// What is at a path: opening anything but a regular file may wait for ever, and reading it may never end.
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { SamError } from '../errors';
import { ioReason } from './reason';

/** Why what is at a path is no file to read or replace, in words; undefined for a regular file. */
export function kindReason(info: Stats): string | undefined {
  if (info.isFile()) return undefined;
  return info.isDirectory() ? 'it is a directory' : 'it is not a regular file';
}

/** Whether there is a folder, or a link to one, at this path. */
export async function isFolder(folder: string): Promise<boolean> {
  return stat(folder).then(
    (info) => info.isDirectory(),
    () => false,
  );
}

/** Whether there is a regular file, or a link to one, at this path. */
export async function isFile(file: string): Promise<boolean> {
  return stat(file).then(
    (info) => info.isFile(),
    () => false,
  );
}

/**
 * Opens a regular file for reading. Anything else is refused before it is opened: a pipe would wait for its writer.
 *
 * @throws SamError ERR_IO
 */
export async function openForReading(path: string): Promise<FileHandle> {
  try {
    const reason = kindReason(await stat(path));
    if (reason !== undefined) throw new SamError('ERR_IO', `Cannot read ${path}: ${reason}`);
    return await open(path, constants.O_RDONLY);
  } catch (cause) {
    throw cause instanceof SamError ? cause : readError(path, cause);
  }
}

/**
 * The text of a regular file, as UTF-8.
 *
 * @throws SamError ERR_IO
 */
export async function readTextFile(path: string): Promise<string> {
  const file = await openForReading(path);
  try {
    return await file.readFile('utf8');
  } catch (cause) {
    throw readError(path, cause);
  } finally {
    await file.close();
  }
}

/** ERR_IO for a file that cannot be read. */
export function readError(path: string, cause: unknown): SamError {
  return new SamError('ERR_IO', `Cannot read ${path}: ${ioReason(cause)}`, { cause });
}
