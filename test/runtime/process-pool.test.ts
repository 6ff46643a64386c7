// Processes that share jobs: results, notes, and every way in which one may end.
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type ProcessesOptions,
  ProcessFailure,
  runProcesses,
  threadsPerProcess,
} from '../../lib/runtime/process-pool';
import type { Protocol } from '../../lib/runtime/process-worker';
import { buildLibrary } from '../support/library';

interface TestProtocol extends Protocol {
  setup: { word: string; fails?: boolean };
  job: { act?: 'refuse' | 'exit' | 'kill' | 'hang'; value?: number };
  note: { pid: number; value?: number };
  result: string;
}

beforeAll(() => buildLibrary(), 120_000);

const options = (
  jobs: TestProtocol['job'][],
  more: Partial<ProcessesOptions<TestProtocol>> = {},
): ProcessesOptions<TestProtocol> => ({
  module: path.join(__dirname, 'worker.cjs'),
  count: 2,
  jobs,
  setup: (index) => ({ word: `process ${index}:` }),
  name: (index, count) => `Worker ${index + 1} of ${count}`,
  doing: ({ value }) => `it did ${value}`,
  ...more,
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('runProcesses', () => {
  it('hands out jobs to whoever is free, and keeps the order of results', async () => {
    const pids = new Set<number>();
    let last = () => {};
    const lastNoted = new Promise<void>((resolve) => {
      last = resolve;
    });
    // The first job takes as long as all others: a job is not done before its notes are dealt with.
    const onNote = ({ pid, value }: TestProtocol['note']) => {
      pids.add(pid);
      if (value === 4) last();
      return value === 0 ? lastNoted : undefined;
    };
    const results = await runProcesses(
      options(
        [0, 1, 2, 3, 4].map((value) => ({ value })),
        { onNote },
      ),
    );
    const [first, ...others] = results.map((text) => text.split(': '));
    expect([first, ...others].map(([, value]) => value)).toEqual(['0', '1', '2', '3', '4']);
    expect(others.map(([name]) => name)).not.toContain(first[0]);
    expect(pids.size).toBe(2);
    expect([...pids].filter(alive)).toEqual([]);
  });

  it('starts no more processes than jobs, and none for none', async () => {
    const setups: number[] = [];
    const setup = (index: number) => {
      setups.push(index);
      return { word: 'only' };
    };
    expect(await runProcesses(options([{ value: 7 }], { count: 5, setup }))).toEqual(['only 7']);
    expect(await runProcesses(options([], { setup }))).toEqual([]);
    expect(setups).toEqual([0]);
  });

  it('waits for what is done with a note before the job counts as done', async () => {
    const events: string[] = [];
    await runProcesses(
      options([{ value: 1 }], {
        onNote: async () => {
          await new Promise((resolve) => setTimeout(resolve, 100));
          events.push('noted');
        },
      }),
    );
    events.push('done');
    expect(events).toEqual(['noted', 'done']);
  });

  it.each([
    [
      { act: 'exit', value: 7 },
      'Worker 1 of 1 ended with status 7 while it did 7: last words',
      'last words',
      null,
    ],
    [
      { act: 'exit', value: 0 },
      'Worker 1 of 1 ended with status 0 while it did 0: last words',
      'last words',
      null,
    ],
    [{ act: 'kill', value: 3 }, 'Worker 1 of 1 was ended by SIGKILL while it did 3', '', 'SIGKILL'],
  ] as const)('names the process that ended: %j', async (job, message, said, signal) => {
    const error = await runProcesses(options([job])).catch((cause) => cause);
    expect(error).toBeInstanceOf(ProcessFailure);
    expect(error).toMatchObject({ code: 'ERR_INTERNAL', message, said, signal });
  });

  it('says that a process ended before its first job', async () => {
    const module = path.join(__dirname, 'none.cjs');
    await expect(runProcesses(options([{ value: 1 }], { module }))).rejects.toThrow(
      /^Worker 1 of 1 ended with status 1 while it was starting: /,
    );
  });

  it('throws what a worker threw, with its code, and ends the others', async () => {
    let other = 0;
    let hung = () => {};
    const isHung = new Promise<void>((resolve) => {
      hung = resolve;
    });
    const failed = runProcesses(
      options([{ act: 'hang' }, { value: 1 }, { act: 'refuse', value: 9 }], {
        onNote: ({ pid, value }) => {
          if (value !== undefined) return isHung;
          other = pid;
          return hung();
        },
      }),
    );
    await expect(failed).rejects.toMatchObject({
      code: 'ERR_DATASET',
      message: expect.stringMatching(/^Worker [12] of 2: no 9$/),
    });
    expect(other).toBeGreaterThan(0);
    expect(alive(other)).toBe(false);
    const setup = () => ({ word: '', fails: true });
    await expect(runProcesses(options([{ value: 1 }], { setup }))).rejects.toMatchObject({
      code: 'ERR_DEVICE_UNAVAILABLE',
      message: 'Worker 1 of 1: nothing to begin with',
    });
  });

  it('throws what the receiver of a note threw', async () => {
    const onNote = async () => {
      throw new Error('the disk is full');
    };
    await expect(runProcesses(options([{ value: 1 }, { act: 'hang' }], { onNote }))).rejects.toThrow(
      'the disk is full',
    );
  });

  it('ends every process when it is aborted', async () => {
    const controller = new AbortController();
    const pids: number[] = [];
    const aborted = runProcesses(
      options([{ act: 'hang' }, { act: 'hang' }], {
        signal: controller.signal,
        onNote: ({ pid }) => {
          pids.push(pid);
          if (pids.length === 2) controller.abort(new Error('enough'));
        },
      }),
    );
    await expect(aborted).rejects.toThrow('enough');
    expect(pids).toHaveLength(2);
    expect(pids.filter(alive)).toEqual([]);
    const { signal } = controller;
    await expect(runProcesses(options([{ value: 1 }], { signal }))).rejects.toThrow('enough');
  });
});

describe('threadsPerProcess', () => {
  it.each([
    [1, 8, 8],
    [3, 8, 2],
    [8, 8, 1],
    [9, 8, 1],
  ])('%i processes share %i threads: %i each', (processes, total, each) => {
    expect(threadsPerProcess(processes, total)).toBe(each);
  });
});
