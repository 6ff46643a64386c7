// Whether a file can be written, asked before the work that fills it starts.
import type { Stats } from 'node:fs';
import { access, constants, readlink, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import { invalidArgument, SamError } from '../errors';
import { kindReason } from './kind';
import { ioReason } from './reason';

/** As many links in a row as Linux follows. */
const MAX_LINKS = 40;

/**
 * Checks that a file can be written or replaced, without writing it: call it before work that takes minutes starts.
 *
 * @throws SamError `ERR_IO` when the directory is missing or not writable, or the path is a directory, a device, a FIFO, a
 *   socket or a file that may not be overwritten
 */
export async function assertWritable(path: string): Promise<void> {
  await writablePlace(path);
}

/**
 * Where a file written to `path` comes to lie: at the path, or where links lead from there, whether that exists or not.
 *
 * @throws SamError as {@link assertWritable}
 */
export async function writablePlace(path: string): Promise<string> {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw invalidArgument('output', 'path', path);
  }
  const fail = (reason: string, cause?: unknown) =>
    new SamError('ERR_IO', `Cannot write ${path}: ${reason}`, { cause });
  try {
    const old = await statIfThere(path);
    if (!old && path.endsWith('/')) throw fail('it is a directory');
    // Renaming over a device or a pipe would replace it: /dev/null would become a file.
    const reason = old && kindReason(old);
    if (reason !== undefined) throw fail(reason);
    const place = old ? await realpath(path) : await endOfLinks(path);
    const directory = dirname(place);
    const parent = await stat(directory).catch((cause) => {
      throw fail(
        cause.code === 'ENOENT' ? `the directory ${directory} does not exist` : ioReason(cause),
        cause,
      );
    });
    if (!parent.isDirectory()) throw fail(`${directory} is not a directory`);
    if (old) await access(place, constants.W_OK);
    // A file is replaced by renaming, which needs a writable directory also when the file exists.
    await access(directory, constants.W_OK | constants.X_OK).catch((cause) => {
      throw fail(`the directory ${directory} is not writable`, cause);
    });
    return place;
  } catch (cause) {
    throw cause instanceof SamError ? cause : fail(ioReason(cause), cause);
  }
}

/** Where a link points that leads to nothing yet; any other path is its own end. */
async function endOfLinks(path: string, left = MAX_LINKS): Promise<string> {
  const target = await readlink(path).catch(() => undefined);
  if (target === undefined || left === 0) return path;
  // Not path.join: a `..` behind a linked directory is for the file system to resolve.
  return endOfLinks(isAbsolute(target) ? target : `${dirname(path)}/${target}`, left - 1);
}

async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A file where a directory should be is found by looking at that directory.
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
