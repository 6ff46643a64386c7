// One evaluation at a time in a folder, whatever ends the others.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDataset } from '../../../lib/eval/datasets';
import { evaluate } from '../../../lib/eval/evaluate';
import { FolderLock } from '../../../lib/eval/lock';
import { evaluateSuite } from '../../../lib/eval/suite';
import type { Dataset } from '../../../lib/eval/types';
import { drawFolder, temporaryFolder } from './drawn';

const folder = temporaryFolder();
let count = 0;
const newFolder = () => path.join(folder, `out-${count++}`);
const fileIn = (out: string) => path.join(out, 'evaluation.lock');
const release = async (lock: FolderLock) => lock[Symbol.asyncDispose]();

/** A process that holds the lock until it is ended. */
async function otherHolder(out: string): Promise<ChildProcess> {
  const script = `require('jiti')(process.cwd())('./lib/eval/lock.ts').FolderLock.acquire(${JSON.stringify(out)})
    .then(() => { console.log('held'); setInterval(() => {}, 1000); })`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
  return child;
}

describe('FolderLock', () => {
  it('is had by one at a time, and leaves nothing', async () => {
    const out = newFolder();
    const first = await FolderLock.acquire(out);
    expect(JSON.parse(readFileSync(fileIn(out), 'utf8'))).toMatchObject({
      pid: process.pid,
      host: os.hostname(),
    });
    await expect(FolderLock.acquire(out)).rejects.toMatchObject({
      code: 'ERR_IO',
      message: expect.stringMatching(
        new RegExp(
          `^Cannot write to ${out}: an evaluation is at work there, process ${process.pid} on ${os.hostname()}, ` +
            'started 2\\d{3}-[-:T.\\d]+Z; wait until it ends, or choose another folder$',
        ),
      ),
    });
    await release(first);
    expect(readdirSync(out)).toEqual([]);
    await release(await FolderLock.acquire(out));
  });

  it('goes to exactly one of many who ask at once, and then to the next', async () => {
    const out = newFolder();
    for (let round = 0; round < 5; round++) {
      const asked = await Promise.allSettled(Array.from({ length: 8 }, () => FolderLock.acquire(out)));
      const had = asked.filter((result) => result.status === 'fulfilled');
      expect(had).toHaveLength(1);
      await release(had[0]!.value);
    }
  });

  it('ends with its process, also by SIGKILL, whatever the file says', async () => {
    const out = newFolder();
    const child = await otherHolder(out);
    await expect(FolderLock.acquire(out)).rejects.toThrow(`process ${child.pid} on ${os.hostname()}`);
    child.kill('SIGKILL');
    await once(child, 'exit');
    // The number may be another process's by now: nobody looks at it.
    expect(existsSync(fileIn(out))).toBe(true);
    writeFileSync(fileIn(out), JSON.stringify({ pid: process.pid, host: os.hostname(), since: 'now' }));
    await release(await FolderLock.acquire(out));
  });

  it('says so when a folder or a pipe is in its place', async () => {
    const [one, other] = [newFolder(), newFolder()];
    mkdirSync(fileIn(one), { recursive: true });
    await expect(FolderLock.acquire(one)).rejects.toMatchObject({ code: 'ERR_IO' });
    mkdirSync(other);
    execFileSync('mkfifo', [fileIn(other)]);
    await expect(FolderLock.acquire(other)).rejects.toThrow('it is not a regular file');
  });
});

describe('an evaluation', () => {
  it('is refused while another has its folder, and the other is not disturbed', async () => {
    const root = await drawFolder(path.join(folder, 'drawn'), 2);
    const out = newFolder();
    const options = { sizes: [64], attention: ['plain'], metrics: ['iou'] } as const;
    const { samples, ...rest } = await openDataset('folder', root);
    let refusals: unknown[] = [];
    const mask = async () => {
      if (refusals.length === 0) {
        const others = [false, true].map((resume) => evaluate({ ...options, dataset, out, resume }));
        refusals = (await Promise.allSettled(others)).map((result) => 'reason' in result && result.reason);
      }
      return samples[0]!.mask!();
    };
    const dataset: Dataset = { ...rest, samples: [{ ...samples[0]!, mask }, samples[1]!] };
    await evaluate({ ...options, dataset, out });
    const message = expect.stringContaining(`an evaluation is at work there, process ${process.pid} on`);
    expect(refusals).toEqual([expect.objectContaining({ message }), expect.objectContaining({ message })]);
    expect(readdirSync(out).sort()).toEqual([
      ...['chart.png', 'chart.svg', 'journal.jsonl', 'results.json', 'results.md'],
    ]);
    expect(readFileSync(path.join(out, 'journal.jsonl'), 'utf8').split('\n')).toHaveLength(4);
  });

  it('names the process that works in the folder, or in the suite', async () => {
    const root = await drawFolder(path.join(folder, 'suite'), 1);
    const options = { sizes: [64], attention: ['plain'], metrics: ['iou'] } as const;
    const out = newFolder();
    const lock = await FolderLock.acquire(out);
    const message = `an evaluation is at work there, process ${process.pid}`;
    await expect(evaluate({ ...options, dataset: 'folder', root, out })).rejects.toThrow(message);
    writeFileSync(path.join(out, 'journal.jsonl'), '');
    await expect(evaluate({ ...options, dataset: 'folder', root, out })).rejects.toThrow(message);
    const config = path.join(folder, 'suite.json');
    writeFileSync(config, JSON.stringify({ datasets: [{ dataset: 'folder', root: 'suite' }] }));
    await expect(evaluateSuite({ ...options, config, out })).rejects.toThrow(message);
    await release(lock);
    const pipe = path.join(folder, 'suite-pipe.json');
    execFileSync('mkfifo', [pipe]);
    await expect(evaluateSuite({ ...options, config: pipe, out })).rejects.toThrow(
      'it is not a regular file',
    );
    // Before the work, not after it.
    mkdirSync(path.join(out, 'suite.json'));
    await expect(evaluateSuite({ ...options, config, out })).rejects.toThrow(
      `Cannot write ${path.join(out, 'suite.json')}: it is a directory`,
    );
  });
});
