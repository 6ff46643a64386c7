// What the checkpoint tests share: reading whole files, expecting refusals, temporary files, event loop stalls.
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

/** Longest time in ms between two turns of the event loop while `work` runs. */
export async function longestStall(work: () => Promise<void>): Promise<number> {
  let longest = 0;
  let last = performance.now();
  let running = true;
  const tick = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (running) setImmediate(tick);
  };
  tick();
  await work();
  running = false;
  return longest;
}

/** The smallest of several longest stalls: collections of garbage and busy neighbours are not the code's doing. */
export async function usualStall(work: () => Promise<void>): Promise<number> {
  let smallest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 4; i++) smallest = Math.min(smallest, await longestStall(work));
  return smallest;
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
