// Worker threads, process exit during a run, a responsive event loop, thread teams: each in a process of its own.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildLibrary } from '../support/library';

buildLibrary();

const SCRIPTS = path.join(__dirname, 'scripts');
const LIBRARY = path.join(__dirname, '..', '..', 'dist', 'index.js');

function run(script: string, ...args: string[]) {
  const result = spawnSync(process.execPath, [path.join(SCRIPTS, script), ...args], {
    encoding: 'utf8',
    timeout: 120_000,
    env: { ...process.env, BA_SAM_LIB: LIBRARY },
  });
  return {
    status: result.status,
    signal: result.signal,
    stdout: result.stdout.trim(),
    stderr: result.stderr.trim(),
  };
}

const clean = { status: 0, signal: null, stderr: '' };

describe('process exit during a run', () => {
  it.each(['exit', 'return', 'worker-terminate', 'uncaught'])('%s', (how) => {
    const result = run('exit-in-flight.cjs', how);
    expect(result).toMatchObject(
      how === 'uncaught'
        ? { status: 1, signal: null, stderr: expect.stringContaining('on purpose') }
        : { ...clean, stdout: expect.stringContaining('started') },
    );
  });
});

describe('process exit that passes over the exit listener of the library', () => {
  // At several moments of the encode: of the runs before there was a cure, a third ended by SIGSEGV and some never.
  it.each(['nested', 'really', 'worker'])('%s', async (how) => {
    const delays = ['0', '15', '30', '60', '90', '120'];
    for (const delay of delays) {
      expect({ delay, ...run('skipped-hooks.cjs', how, delay) }).toEqual({
        ...{ delay, status: 7, signal: null, stdout: '', stderr: '' },
      });
    }
  });
});

describe('worker threads', () => {
  it('may be terminated at any moment, in whatever call they are', () => {
    expect(run('terminate.cjs', '20')).toEqual({ ...clean, stdout: '20 terminated' });
  });

  it('encode at the same time as the main thread, with equal results', () => {
    expect(run('workers.cjs')).toEqual({ ...clean, stdout: 'equal' });
  });
});

describe('event loop', () => {
  it('turns all the time during an encode', () => {
    const result = run('event-loop.cjs');
    expect(result).toMatchObject(clean);
    const { longest, turns } = JSON.parse(result.stdout) as Record<string, number>;
    expect(turns).toBeGreaterThan(100);
    expect(longest).toBeLessThan(0.3);
  });
});

describe('thread teams', () => {
  it('do not grow from run to run', () => {
    const result = run('threads.cjs');
    expect(result).toMatchObject(clean);
    const { afterFirst, afterMany } = JSON.parse(result.stdout) as Record<string, number>;
    expect(afterMany).toBe(afterFirst);
  });
});

// Limits on processes do not bind root: the script runs as another user, where that is to be had.
const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
const canLimit =
  process.getuid?.() === 0 &&
  spawnSync(NOBODY[0], [...NOBODY.slice(1), 'prlimit', '--nproc=100', process.execPath, LIBRARY]).status ===
    0;

describe.skipIf(!canLimit)('where few threads are to be had', () => {
  const limited = (processes: number, mode: string) => {
    const command = [...NOBODY, 'prlimit', `--nproc=${processes}`, process.execPath];
    const { status, signal, stdout, stderr } = spawnSync(
      command[0],
      [...command.slice(1), path.join(SCRIPTS, 'few-threads.cjs'), mode],
      {
        encoding: 'utf8',
        timeout: 120_000,
        env: { ...process.env, BA_SAM_LIB: LIBRARY, BA_SAM_THREADS: '24' },
      },
    );
    return { status, signal, stdout: stdout.trim(), stderr: stderr.trim() };
  };

  it('encodes with fewer, says so once, and rejects where there is none', () => {
    const before = Number(limited(100, 'count').stdout);
    expect(before).toBeGreaterThan(1);
    expect(limited(before, 'encode')).toEqual({ ...clean, stdout: 'ERR_OUT_OF_MEMORY' });
    for (const more of [1, 2, 6, 12, 20]) {
      const result = limited(before + more, 'encode');
      expect(result).toMatchObject({ status: 0, signal: null, stdout: 'encoded 1,256,16,16' });
      const team = 1 + Math.max(0, more - 1 - 4);
      expect(result.stderr.match(/Only \d+ of 24 threads/g)).toEqual([`Only ${team} of 24 threads`]);
    }
    expect(limited(before + 24, 'encode')).toEqual({ ...clean, stdout: 'encoded 1,256,16,16' });
  });
});

describe('memory', () => {
  it('while loading stays below 1.3 × the weights in the chosen dtype', () => {
    const result = run('load-memory.cjs');
    expect(result).toMatchObject(clean);
    const rows = JSON.parse(result.stdout) as { growth: number; weights: number }[];
    expect(rows.length).toBe(2);
    for (const { growth, weights } of rows) expect(growth / weights).toBeLessThan(1.3);
  });

  it('of models comes back after dispose', () => {
    const result = run('memory.cjs');
    expect(result).toMatchObject(clean);
    const { early, late } = JSON.parse(result.stdout) as Record<string, number>;
    expect(late - early).toBeLessThan(60);
  });
});
