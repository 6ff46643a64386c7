// Rows as they are measured: every benchmark once, tiny, from the command to the file; rows and commands that are killed.
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { rates as ratesOf } from '../../lib/bench/conditions';
import type { measureRow } from '../../lib/bench/run';
import { measureInterleaved } from '../../lib/bench/timing';
import { baSam, ROOT, temporaryFolder } from '../cli/run';

const folder = temporaryFolder();
const TINY = ['--device', 'cpu', '--gemm', '64'];

const positive = z.number().positive();
const times = { ms: positive, min_ms: positive, max_ms: positive, runs: z.int().min(1) };
const rates = { gflop: positive, gflops: positive, gemm_gflops: z.tuple([positive, positive]) };
const memory = { peak_rss_mb: z.number().min(30).max(2000) };
const ops = z.record(z.string(), z.number().min(0));
const grid = z.tuple([z.int(), z.int()]);
const dtype = z.enum(['f32', 'bf16']);
const ROWS = {
  attention: z.strictObject({
    ...{ device: z.literal('cpu'), dtype, grid, tokens: z.int(), heads: z.int(), headDim: z.int() },
    ...{ window: z.int().nullable(), biases: z.string(), against_none: positive.optional() },
    ...times,
    ...rates,
    share: positive,
    ...memory,
  }),
  encoder: z.strictObject({
    ...{ model: z.literal('vit-b'), size: z.int(), dtype, biases: z.string(), device: z.literal('cpu') },
    ...times,
    ...rates,
    efficiency: positive,
    ...memory,
    ops_ms: ops,
  }),
  decoder: z.strictObject({
    ...{ device: z.literal('cpu'), dtype: z.literal('f32'), grid, prompt: z.string(), prompts: z.int() },
    ...times,
    ms_per_prompt: positive,
    ...rates,
    share: positive,
    ...memory,
    ops_ms: ops,
  }),
  'event-loop': z.strictObject({
    ...{ device: z.literal('cpu'), work: z.string() },
    ...times,
    ...{ delay_p99_ms: z.number().min(0), delay_max_ms: z.number().min(0) },
    ...memory,
  }),
};
const resultSchema = <T extends keyof typeof ROWS>(benchmark: T) =>
  z.strictObject({
    benchmark: z.literal(benchmark),
    date: z.iso.date(),
    version: z.string().regex(/^\d+\.\d+\.\d+/),
    commit: z.literal('abc1234'),
    node: z.literal(process.version),
    quick: z.literal(true).optional(),
    machine: z.looseObject({
      ...{ cpu: z.string().min(1), cores: z.int().min(1), memory_gb: positive },
      ...{ threads: z.int().min(1), isa: z.string(), oneDNN: z.string() },
    }),
    rows: z.array(ROWS[benchmark]),
  });

/** Runs a benchmark into a file of this name and checks the file's form. */
async function measured<T extends keyof typeof ROWS>(benchmark: T, args: string[]) {
  const file = path.join(folder, `${benchmark}.json`);
  const env = { BA_SAM_COMMIT: 'abc1234' };
  const { status, stdout, stderr } = await baSam(['bench', benchmark, ...TINY, ...args, '--json', file], {
    env,
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringMatching(/Wrote .*\.json\n$/) });
  const json = resultSchema(benchmark).parse(JSON.parse(readFileSync(file, 'utf8')));
  const rows = json.rows as z.infer<(typeof ROWS)[T]>[];
  for (const { min_ms, ms, max_ms } of rows) {
    expect(min_ms).toBeLessThanOrEqual(ms);
    expect(ms).toBeLessThanOrEqual(max_ms);
  }
  // A line of progress for each, a heading and the table.
  expect(
    stderr.split('\n').filter((line) => / ms, ([\d.]+ GFLOP\/s|delays of [\d.]+ ms at most)$/.test(line)),
  ).toHaveLength(rows.length);
  expect(stdout.split('\n')[0]).toBe(benchmark);
  return { rows, stdout, stderr };
}

describe('end to end', () => {
  it('attention', async () => {
    const args = ['--grids', '9x11', '--heads', '2', '--head-dims', '16', '--dtypes', 'f32', '--runs', '3'];
    const { rows, stderr } = await measured('attention', [
      ...args,
      ...['--windows', 'global,4', '--biases', 'none,rel+chebyshev,rel'],
    ]);
    expect(rows.map(({ window, biases }) => [window, biases])).toEqual([
      [null, 'none'],
      [null, 'rel+chebyshev'],
      [null, 'rel'],
      [4, 'none'],
      [4, 'rel'],
    ]);
    for (const row of rows) {
      expect(row).toMatchObject({ tokens: 99, runs: 3 });
      expect(row.against_none === undefined).toBe(row.biases === 'none');
      // 4 · 99 · 99 or 16 keys · 16 · 2.
      const operations = 4 * 99 * (row.window === null ? 99 : 16) * 16 * 2;
      expect(row.gflop / (operations / 1e9)).toBeCloseTo(1, 3);
      expect(row.gflops / (row.gflop / row.ms) / 1000).toBeCloseTo(1, 1);
    }
    expect(stderr).toContain('attention 2 of 5: 9×11 global, 2 heads × 16, rel+chebyshev, f32 … ');
  });

  it('encoder, with times per op', async () => {
    const args = [
      '--sizes',
      '48',
      '--dtypes',
      'f32',
      '--biases',
      'plain,manhattan',
      '--runs',
      '2',
      '--profile',
    ];
    const { rows, stdout } = await measured('encoder', args);
    expect(rows.map(({ biases }) => biases)).toEqual(['plain', 'manhattan']);
    for (const { ops_ms, ms } of rows) {
      const names = ['linear', 'attention', 'layerNorm', 'patchEmbed', 'conv2d'];
      expect(Object.keys(ops_ms)).toEqual(expect.arrayContaining(names));
      const sum = Object.values(ops_ms).reduce((a, b) => a + b, 0);
      // Of other runs than the median's, on a machine that may be busy.
      expect(sum / ms).toBeGreaterThan(0.1);
      expect(sum / ms).toBeLessThan(10);
    }
    expect(stdout).toMatch(/^vit-b 48×48, manhattan, f32\n( {2}\w+ +[\d.]+ ms\n){5,}/m);
  });

  it('event-loop', async () => {
    const { rows } = await measured('event-loop', ['--works', 'idle,prompts', '--runs', '2']);
    expect(rows.map(({ work }) => work)).toEqual(['idle', 'prompts']);
    for (const row of rows) {
      expect(row).toMatchObject({ device: 'cpu', runs: 2 });
      expect(row.delay_max_ms).toBeGreaterThanOrEqual(row.delay_p99_ms);
    }
  });

  it('decoder', async () => {
    const { rows } = await measured('decoder', ['--grids', '5x7', '--batches', '1,3', '--runs', '2']);
    expect(rows.map(({ prompt, prompts }) => `${prompt} ${prompts}`)).toEqual(
      ['point', 'box', 'point+mask'].flatMap((prompt) => [1, 3].map((count) => `${prompt} ${count}`)),
    );
    for (const { ms, ms_per_prompt, prompts, ops_ms, prompt } of rows) {
      expect((ms_per_prompt * prompts) / ms).toBeCloseTo(1, 3);
      expect(ops_ms).toMatchObject({ linear: expect.any(Number), upsampleMasks: expect.any(Number) });
      expect('conv2d' in ops_ms).toBe(prompt === 'point+mask');
    }
  });

  it('a quick try leaves the folder of results alone', async () => {
    const args = ['bench', 'decoder', ...TINY, '--quick', '--grids', '4x4', '--prompts', 'box'];
    const { status, stderr } = await baSam([...args, '--results', '.'], { cwd: folder });
    expect(status).toBe(0);
    expect(stderr).toMatch(/Nothing was written to \./);
    expect(readdirSync(folder).filter((name) => name.includes('bench'))).toEqual([]);
    await baSam([...args.filter((arg) => arg !== '--quick'), '--results', '.', '--runs', '1'], {
      cwd: folder,
    });
    const [name, ...others] = readdirSync(folder).filter((one) => one.includes('bench'));
    expect(others).toEqual([]);
    expect(name).toMatch(/^\d{4}-\d\d-\d\d-bench-decoder\.json$/);
  });
});

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return text.trim().split(/\s+/).filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

const alive = (pid: number) => {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

/** Half a minute and more of work in one row. */
const LONG = ['--grids', '32x32', '--heads', '1', '--biases', 'none', '--dtypes', 'f32', '--runs', '10000'];

/** Runs until the first row's process is there, and a while longer, then does something. */
async function disturbed(args: string[], after_ms: number, act: (child: ChildProcess, row: number) => void) {
  let seen = 0;
  const result = await baSam(['bench', 'attention', ...TINY, ...args], {
    detached: true,
    started: (child) => {
      const timer = setInterval(() => {
        const [row] = childrenOf(child.pid!);
        if (row === undefined) return;
        clearInterval(timer);
        seen = row;
        setTimeout(() => act(child, row), after_ms);
      }, 2);
      child.once('close', () => clearInterval(timer));
    },
  });
  expect(seen).toBeGreaterThan(0);
  return { ...result, row: seen };
}

describe('ends', () => {
  it('of a row: it is reported, the others go on, and the exit status is 1', async () => {
    const file = path.join(folder, 'killed.json');
    const { status, stdout, stderr } = await disturbed(
      ['--grids', '8x8', '--heads', '1', '--biases', 'none,rel', '--dtypes', 'f32', '--json', file],
      0,
      (_child, row) => process.kill(row, 'SIGKILL'),
    );
    expect(status).toBe(1);
    const reason = 'its process was ended by SIGKILL, as when memory runs out';
    expect(stderr).toContain(`failed: ${reason}\n`);
    expect(stdout).toMatch(new RegExp(`none +f32 +failed: ${reason}$`, 'm'));
    const { rows } = JSON.parse(readFileSync(file, 'utf8'));
    expect(rows[0]).toEqual({
      ...{ device: 'cpu', dtype: 'f32', grid: [8, 8], tokens: 64, heads: 1, headDim: 64 },
      ...{ window: null, biases: 'none', failed: reason },
    });
    expect(ROWS.attention.safeParse(rows[1]).error).toBeUndefined();
    expect(rows).toHaveLength(2);
  });

  it('of the command by Ctrl-C: its row ends, too', async () => {
    let group = 0;
    const { status, stdout, stderr, row } = await disturbed(LONG, 0, (child, own) => {
      group = Number(readFileSync(`/proc/${own}/stat`, 'utf8').split(') ')[1]!.split(' ')[2]);
      process.kill(-child.pid!, 'SIGINT');
    });
    // The terminal's signal does not reach it: one that has only just begun would die of it, and count as failed.
    expect(group).toBe(row);
    expect({ status, stdout }).toEqual({ status: 130, stdout: '' });
    expect(stderr).toMatch(/^ba-sam: interrupted$/m);
    expect(stderr).not.toContain('failed');
    expect(alive(row)).toBe(false);
  });

  it('of the command by SIGKILL: its row ends, too', async () => {
    const { row } = await disturbed(LONG, 600, (child) => child.kill('SIGKILL'));
    await expect.poll(() => alive(row)).toBe(false);
  });

  it('with an error: the row has its message', async () => {
    const run = await import(path.join(ROOT, 'dist', 'bench', 'run.js'));
    const row = await (run.measureRow as typeof measureRow)({
      case: { benchmark: 'decoder', of: { grid: [4, 4], prompt: 'box', prompts: 1 } },
      conditions: {
        device: { kind: 'cuda', index: 0 },
        repeats: { minRuns: 1, maxRuns: 1, seconds: 0, maxSeconds: 60 },
        gemmSide: 8,
      },
      device: 'cuda:0',
    });
    expect(row).toMatchObject({ device: 'cuda:0', prompt: 'box', prompts: 1 });
    expect(row.failed).toMatch(/^The CUDA addon of ba-sam could not be loaded/);
    expect(Object.keys(row)).toHaveLength(6);
  });
});

describe('rounds', () => {
  /** Variants that take the given seconds of an invented clock. */
  const timed = (...seconds: number[]) => {
    let time = 0;
    let calls = 0;
    const variants = seconds.map((own, i) => async () => {
      calls++;
      time += 1000 * own;
      return i;
    });
    return { variants, now: () => time, calls: () => calls };
  };
  const repeats = { minRuns: 5, maxRuns: 20, seconds: 1, maxSeconds: 60 };

  it.each([
    [[0.01], 20], // as many as allowed within a second
    [[0.3], 5],
    [[0.1, 0.15], 5],
    [[25], 3], // no round begins after a minute
    [[40], 2],
  ])('of %j s are measured %i times, after one that is not', async (seconds, rounds) => {
    const clock = timed(...seconds);
    const results = await measureInterleaved(clock.variants, 1, repeats, clock.now);
    expect(results.map((list) => list.length)).toEqual(seconds.map(() => rounds));
    expect(results.map((list) => list[0])).toEqual(seconds.map((_, i) => i));
    expect(clock.calls()).toBe(seconds.length * (rounds + 1));
  });

  it('are not repeated when the first one takes more than a minute', async () => {
    const clock = timed(50, 20);
    expect(await measureInterleaved(clock.variants, 1, repeats, clock.now)).toEqual([[0], [1]]);
    expect(clock.calls()).toBe(2);
  });
});

describe('the rate of a row', () => {
  it('is compared with the faster of the two products', () => {
    // 300 GFLOP in 2 s, beside products of which one was slowed down.
    expect(ratesOf(3e11, 2000, [100, 200])).toEqual({
      gflop: 300,
      gflops: 150,
      gemm_gflops: [100, 200],
      share: 0.75,
    });
  });
});
