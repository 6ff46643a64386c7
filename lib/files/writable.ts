// Whether a file can be written, asked before the work that fills it starts.
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { invalidArgument, SamError } from '../errors';
import { ioReason } from './reason';

/**
 * Checks that a file can be written, without writing it: call it before work that takes minutes starts.
 *
 * @throws SamError `ERR_IO` when the directory is missing or not writable, or the path is a directory or a file that
 *   may not be overwritten
 */
export async function assertWritable(path: string): Promise<void> {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw invalidArgument('output', 'path', path);
  }
  const fail = (reason: string, cause?: unknown): never => {
    throw new SamError('ERR_IO', `Cannot write ${path}: ${reason}`, { cause });
  };
  const directory = dirname(path);
  try {
    if (!(await stat(directory)).isDirectory()) fail(`${directory} is not a directory`);
  } catch (cause) {
    if (cause instanceof SamError) throw cause;
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    fail(missing ? `the directory ${directory} does not exist` : ioReason(cause), cause);
  }
  let exists = true;
  try {
    if ((await stat(path)).isDirectory()) fail('it is a directory');
  } catch (cause) {
    if (cause instanceof SamError) throw cause;
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') fail(ioReason(cause), cause);
    exists = false;
  }
  try {
    await access(exists ? path : directory, constants.W_OK);
  } catch (cause) {
    fail(exists ? ioReason(cause) : `the directory ${directory} is not writable`, cause);
  }
}
