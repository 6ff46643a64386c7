// What the checkpoint tests share: reading whole files, expecting refusals, temporary files.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint';
import { SamError } from '../../lib/errors';

export const fixtures = join(import.meta.dirname, 'fixtures');

/** Opens, reads everything, closes. */
export async function readAll(path: string) {
  const checkpoint = await openCheckpoint(path);
  try {
    const data = new Map<string, Uint8Array>();
    for (const name of checkpoint.tensors.keys()) data.set(name, await checkpoint.read(name));
    return { ...checkpoint, data };
  } finally {
    await checkpoint.close();
  }
}

/** The message with which reading a file is refused; it must be an ERR_CHECKPOINT that names the path. */
export async function refusal(path: string): Promise<string> {
  const error = await readAll(path).then(
    () => undefined,
    (e) => e,
  );
  expect(error).toBeInstanceOf(SamError);
  expect(error.code).toBe('ERR_CHECKPOINT');
  expect(error.message).toContain(`${path}: `);
  return error.message;
}

/** A directory for a test file's temporary files. */
export class Scratch {
  readonly folder = mkdtempSync(join(tmpdir(), 'ba-sam-checkpoint-'));
  #count = 0;

  path(name: string): string {
    return join(this.folder, name);
  }

  write(data: Uint8Array | string, name = `file-${this.#count++}`): string {
    const path = this.path(name);
    writeFileSync(path, data);
    return path;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
