// Worker threads, process exit during a run, a responsive event loop, thread teams: each in a process of its own.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildLibrary } from '../support/library';

buildLibrary();

const SCRIPTS = path.join(__dirname, 'scripts');

function run(script: string, ...args: string[]) {
  const result = spawnSync(process.execPath, [path.join(SCRIPTS, script), ...args], {
    encoding: 'utf8',
    timeout: 120_000,
    env: { ...process.env, BA_SAM_LIB: path.join(__dirname, '..', '..', 'dist', 'index.js') },
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

describe('worker threads', () => {
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
