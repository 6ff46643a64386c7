// One child under watch, and what is made of its end.
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { residentBytes, runTurn } from '../../../bench/peers/turn.mts';
import { failure, ownWords, readReport } from '../../../bench/peers/verdict.mts';
import { lives } from './helpers';

const LIMITS = { memory_gb: 4, timeout_s: 20 };
const node = (code: string) => ({ command: process.execPath, args: ['-e', code] });
const fake = (job: object) => ({
  command: process.execPath,
  args: [path.join(__dirname, 'fake-worker.mjs'), JSON.stringify(job)],
});

describe('runTurn', () => {
  it('returns what a process wrote, line by line as well', async () => {
    const lines: string[] = [];
    const code = "console.log('one\\ntwo'); console.error('three'); process.exitCode = 7";
    const turn = await runTurn(node(code), LIMITS, (line) => lines.push(line));
    expect(turn).toMatchObject({ code: 7, signal: null, stdout: 'one\ntwo\n', stderr: 'three\n' });
    expect(turn.ended).toBeUndefined();
    expect(lines).toEqual(['one', 'two']);
  });

  it('keeps the end of endless output', async () => {
    const turn = await runTurn(node("process.stdout.write('x'.repeat(3e5)); console.log('end')"), LIMITS);
    expect(turn.stdout).toMatch(/^x{60000,}end\n$/);
    expect(turn.stdout.length).toBeLessThan(70_000);
  });

  it('ends a process and what it started when both together are too large', async () => {
    expect(lives(process.pid)).toBe(true);
    let child = 0;
    const turn = await runTurn(fake({ act: 'grow' }), { ...LIMITS, memory_gb: 0.35 }, (line) => {
      child = Number(line);
      expect(lives(child)).toBe(true);
    });
    expect(turn.ended).toBe('memory');
    expect(turn.peak_gb).toBeGreaterThan(0.35);
    expect(child).toBeGreaterThan(0);
    await expect.poll(() => lives(child)).toBe(false);
  });

  it('says why a command did not start', async () => {
    const turn = await runTurn({ command: '/none/python', args: [] }, LIMITS);
    expect(failure(turn, LIMITS, 64)).toEqual({ status: 'failed', reason: 'did not start: ENOENT' });
  });

  it('does not begin after an interruption', async () => {
    const lines: string[] = [];
    const limits = { ...LIMITS, signal: AbortSignal.abort() };
    const turn = await runTurn(fake({ act: 'hang' }), limits, (line) => lines.push(line));
    expect(turn.ended).toBe('interrupted');
    expect(lines).toEqual([]);
    expect(failure(turn, LIMITS, 64)).toEqual({ status: 'skipped', reason: 'interrupted' });
  });

  it('reads resident memory, of nothing when a process has ended', () => {
    expect(residentBytes(process.pid)).toBeGreaterThan(2 ** 24);
    expect(residentBytes(2 ** 22 + 1)).toBe(0);
  });
});

describe('failure', () => {
  const turn = { code: 1, signal: null, peak_gb: 2.5, seconds: 3, stdout: '', stderr: '' };

  it('names the system that ended a process for want of memory', () => {
    expect(failure({ ...turn, code: null, signal: 'SIGKILL', ended: 'system' }, LIMITS, 2048)).toEqual({
      status: 'out of memory',
      reason: 'the system ended it at 2048 px, last seen with 2.5 GB',
      peak_rss_mb: 2560,
    });
  });

  it('does not take any kill for want of memory', () => {
    expect(failure({ ...turn, code: null, signal: 'SIGKILL' }, LIMITS, 2048)).toEqual({
      status: 'failed',
      reason: 'ended by SIGKILL',
    });
    expect(failure({ ...turn, code: 3 }, LIMITS, 64)).toEqual({ status: 'failed', reason: 'exit 3' });
  });
});

describe('ownWords', () => {
  it.each([
    "RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 5",
    'numpy._core._exceptions._ArrayMemoryError: Unable to allocate 12.0 GiB for an array with shape (3,)',
    'MemoryError',
    'Error: Non-zero status code returned while running MatMul node. bfc_arena.cc:359 Failed to allocate memory for requested buffer of size 12884901888',
    'Error: std::bad_alloc',
    'RangeError: Array buffer allocation failed',
    'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory',
    'ERR_OUT_OF_MEMORY: Could not allocate 12 GB',
    'could not create a memory object: out_of_memory',
  ])('hears about memory: %s', (line) => {
    const stderr = `some warning\n${line}\n    at Object.run (file.js:1:1)\n`;
    expect(ownWords({ stdout: '', stderr })).toEqual({ words: line, allocation: true });
  });

  it.each(['TypeError: x is not a function', 'KeyError: memory_format', 'Allocating 12 tensors'])(
    'does not hear it elsewhere: %s',
    (line) =>
      expect(ownWords({ stdout: '', stderr: `${line}\n` })).toEqual({ words: line, allocation: false }),
  );

  it('leaves out folders and what does not fit', () => {
    const stderr = `OSError: cannot open /home/user/.cache/peers/vit-b/model.safetensors: /usr/lib/x.so ${'y'.repeat(500)}`;
    const { words } = ownWords({ stdout: '', stderr });
    expect(words).toMatch(/^OSError: cannot open model\.safetensors: x\.so y+$/);
    expect(words).toHaveLength(300);
  });
});

describe('readReport', () => {
  const good = { load_s: 1, first_ms: 2, runs_ms: [3, 4], peak_rss_mb: 5, versions: {} };

  it('takes the last line', () => {
    expect(readReport(`noise\n{"a":1}\n${JSON.stringify(good)}\n`, 2)).toEqual({ report: good });
  });

  it.each([
    [{ load_s: -1 }, 'load_s'],
    [{ first_ms: null }, 'first_ms'],
    [{ runs_ms: [3] }, 'runs_ms'],
    [{ runs_ms: [3, 0] }, 'runs_ms'],
    [{ runs_ms: 7 }, 'runs_ms'],
    [{ peak_rss_mb: '5' }, 'peak_rss_mb'],
    [{ versions: null }, 'versions'],
  ])('refuses %j', (change, name) => {
    const line = JSON.stringify({ ...good, ...change });
    expect(readReport(line, 2)).toEqual({ reason: `the worker's report has no usable ${name}` });
  });

  it.each(['null', '7', '[]'])('refuses %s', (line) => {
    expect(readReport(line, 2)).toEqual({ reason: "the worker's report has no usable load_s" });
  });
});
