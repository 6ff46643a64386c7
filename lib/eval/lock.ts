// One evaluation at a time in a folder: two would write over each other's rows.
//
// The lock is the kernel's (flock), which ends with its process however that ends: nothing is left that a later run would
// have to judge, also where processes cannot see each other (containers, hosts on one network disk). The file only says
// who has it.
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, stat, unlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { SamError } from '../errors';
import { ioReason } from '../files/reason';
import { native } from '../native';

const NAME = 'evaluation.lock';
/** Times that a file may be removed by its last holder between our opening and our locking it. */
const ATTEMPTS = 100;
const { EWOULDBLOCK } = os.constants.errno;

/** A folder that this evaluation alone may write to. */
export class FolderLock implements AsyncDisposable {
  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
  ) {}

  /**
   * Locks a folder; makes it when it is missing. On file systems without locks nothing is held and nobody is refused.
   *
   * @throws SamError ERR_IO that names the process which has it, its host and since when
   */
  static async acquire(folder: string): Promise<FolderLock> {
    await mkdir(folder, { recursive: true }).catch((cause) => {
      throw new SamError('ERR_IO', `Cannot make ${folder}: ${ioReason(cause)}`, { cause });
    });
    const file = path.join(folder, NAME);
    for (let attempt = 1; ; attempt++) {
      const handle = await openLock(file);
      try {
        const error = native().lockFile(handle.fd);
        if (error === EWOULDBLOCK) {
          throw new SamError('ERR_IO', `Cannot write to ${folder}: ${await holder(handle)}`);
        }
        if (await isStillAt(file, handle)) {
          await describeOwn(handle);
          return new FolderLock(file, handle);
        }
        if (attempt === ATTEMPTS) throw new SamError('ERR_IO', `Cannot lock ${file}: it keeps changing`);
      } catch (cause) {
        await handle.close();
        if (cause instanceof SamError) throw cause;
        throw new SamError('ERR_IO', `Cannot write ${file}: ${ioReason(cause)}`, { cause });
      }
      await handle.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // While it is locked: whoever opened it meanwhile sees that it is gone.
    await unlink(this.path).catch(() => {});
    await this.file.close();
  }
}

async function openLock(file: string): Promise<FileHandle> {
  let handle: FileHandle | undefined;
  try {
    // A pipe would wait for its other end.
    handle = await open(file, constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK, 0o644);
    if ((await handle.stat()).isFile()) return handle;
  } catch (cause) {
    throw new SamError('ERR_IO', `Cannot write ${file}: ${ioReason(cause)}`, { cause });
  }
  await handle.close();
  throw new SamError('ERR_IO', `Cannot write ${file}: it is not a regular file`);
}

async function isStillAt(file: string, handle: FileHandle): Promise<boolean> {
  const [own, there] = [await handle.stat(), await stat(file).catch(() => undefined)];
  return own.ino === there?.ino && own.dev === there.dev;
}

async function describeOwn(handle: FileHandle): Promise<void> {
  const since = new Date(Date.now() - process.uptime() * 1000).toISOString();
  await handle.truncate(0);
  await handle.write(`${JSON.stringify({ pid: process.pid, host: os.hostname(), since })}\n`, 0);
}

async function holder(handle: FileHandle): Promise<string> {
  const advice = 'wait until it ends, or choose another folder';
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(1024), 0, 1024, 0);
    const { pid, host, since } = JSON.parse(buffer.toString('utf8', 0, bytesRead));
    return `an evaluation is at work there, process ${Number(pid)} on ${host}, started ${since}; ${advice}`;
  } catch {
    // It has the lock and has not said who it is yet.
    return `an evaluation is at work there; ${advice}`;
  }
}
