// What `ba-sam bench` refuses before it measures anything, and which rows its options ask for.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { attentionCases, decoderCases, encoderCases, type Scope } from '../../lib/bench/cases';
import { encoderOnly, samConfig } from '../../lib/bench/models';
import { resultName } from '../../lib/bench/result';
import { benchmarkTable } from '../../lib/bench/table';
import { median, opTimes, timesOf } from '../../lib/bench/timing';
import { fillRandom, randomWeights } from '../../lib/bench/weights';
import { runBench } from '../../lib/cli/bench';
import { outcome } from '../../lib/cli/errors';
import type { Texts } from '../../lib/cli/flags';
import type { ProfileRow } from '../../lib/graph/profile';
import { modelTensors } from '../../lib/model/config';
import { baSam, refused, temporaryFolder } from '../cli/run';

const folder = temporaryFolder();
const SHARED: Scope = { dtypes: ['f32', 'bf16'], quick: false };

describe('refused', () => {
  /** In this process: nothing may be measured, so no other is started either. */
  async function refusal(benchmark: string | undefined, options: Texts) {
    // A signal that has gone off: whatever was let through ends before its first row, with another message.
    const stop = AbortSignal.abort(new Error('was let through'));
    const progress = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const error = await runBench(benchmark, { device: 'cpu', ...options }, stop).then(
      () => undefined,
      (reason) => reason,
    );
    progress.mockRestore();
    return outcome(error);
  }

  it.each([
    [
      'encode',
      {},
      'Expected one of attention, encoder, decoder, event-loop for BENCHMARK but received "encode"',
    ],
    [
      'encoder',
      { models: 'vit-b,vit-x' },
      'Expected one of vit-b, vit-l, vit-h for --models but received "vit-x"',
    ],
    [
      'encoder',
      { sizes: '1024,1000' },
      'Expected multiple of 16 between 16 and 16384 for --sizes but received "1000"',
    ],
    ['encoder', { sizes: '0' }, 'Expected multiple of 16 between 16 and 16384 for --sizes but received "0"'],
    ['encoder', { sizes: '1024,1024' }, 'Expected no value twice for --sizes but received "1024,1024"'],
    [
      'encoder',
      { biases: 'rel' },
      'Expected one of plain, manhattan, euclidean, chebyshev for --biases but received "rel"',
    ],
    [
      'encoder',
      { dtypes: 'f16' },
      'Expected dtype f32 or bf16 on the CPU but received f16; f16 needs a CUDA device',
    ],
    ['encoder', { dtypes: 'f64' }, 'Expected one of f32, bf16, f16 for --dtypes but received "f64"'],
    ['encoder', { runs: '0' }, 'Expected integer between 1 and 10000 for --runs but received "0"'],
    ['encoder', { runs: '1e3' }, 'Expected integer between 1 and 10000 for --runs but received "1e3"'],
    ['encoder', { gemm: '-1' }, 'Expected integer between 1 and 32768 for --gemm but received "-1"'],
    [
      'encoder',
      { device: 'gpu' },
      'Expected auto, cpu, cuda or cuda:<index> for --device but received "gpu"',
    ],
    ['encoder', { grids: '8x8' }, 'Expected attention or decoder together with --grids but received encoder'],
    ['attention', { grids: '64' }, 'Expected HEIGHTxWIDTH in tokens for --grids but received "64"'],
    ['attention', { grids: '64x0' }, 'Expected integer between 1 and 1024 for --grids but received "0"'],
    [
      'attention',
      { headDims: '512' },
      'Expected integer between 1 and 256 for --head-dims but received "512"',
    ],
    ['attention', { heads: '' }, 'Expected integer between 1 and 64 for --heads but received ""'],
    [
      'attention',
      { windows: '0' },
      'Expected global or integer between 1 and 1024 for --windows but received "0"',
    ],
    [
      'attention',
      { biases: 'rel+none' },
      /^Expected one of none, rel, .* for --biases but received "rel\+none"$/,
    ],
    [
      'attention',
      { windows: '14', biases: 'manhattan' },
      /distance penalties exist in global attention only$/,
    ],
    [
      'attention',
      { profile: true },
      'Expected encoder or decoder together with --profile but received attention',
    ],
    [
      'decoder',
      { prompts: 'text' },
      'Expected one of point, box, point+mask for --prompts but received "text"',
    ],
    ['decoder', { batches: '0' }, 'Expected integer between 1 and 1024 for --batches but received "0"'],
    [
      'decoder',
      { dtypes: 'f32' },
      'Expected attention or encoder together with --dtypes but received decoder',
    ],
    ['decoder', { json: 'out.txt' }, /path that ends in \.json for --json/],
    [
      'decoder',
      { json: '/none/out.json' },
      /^Cannot write \/none\/out\.json: the directory \/none does not exist$/,
    ],
    ['decoder', { results: '/none' }, /^Cannot write \/none\/\d{4}-\d\d-\d\d-bench-decoder\.json: /],
    [
      undefined,
      { json: 'out.json' },
      /^Expected attention, encoder, decoder, event-loop together with --json/,
    ],
    [undefined, { headDims: '64' }, 'Expected attention together with --head-dims but received no benchmark'],
  ] as [string | undefined, Texts, string | RegExp][])('%s %j', async (benchmark, options, message) => {
    const { status, line } = await refusal(benchmark, options);
    expect(status).toBe(2);
    if (typeof message === 'string') expect(line).toBe(message);
    else expect(line).toMatch(message);
  });

  it('a device that is not there, with every reason', async () => {
    const { status, line } = await refusal('encoder', { device: 'cuda' });
    expect(status).toBe(2);
    expect(line).toMatch(/^Device cuda cannot be used: The CUDA addon of ba-sam could not be loaded/);
  });

  it('nothing that is right', async () => {
    for (const benchmark of [undefined, 'attention', 'encoder', 'decoder']) {
      expect((await refusal(benchmark, {})).line).toMatch(/was let through$/);
    }
    expect((await refusal('attention', { windows: 'global,14', biases: 'rel,rel+manhattan' })).line).toMatch(
      /was let through$/,
    );
  });

  it('by the tool, in one line', async () => {
    mkdirSync(path.join(folder, 'empty'));
    const at = path.join(folder, 'empty');
    await refused(['bench', 'encoder', '--sizes', '17'], /multiple of 16/, at);
    await refused(['bench', 'encoder', '--dtype', 'f32'], /unknown option/, at);
    await refused(['bench', 'attention', 'encoder'], /too many arguments/, at);
  });
});

it('help names everything', async () => {
  const { status, stdout, stderr } = await baSam(['bench', '--help']);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  for (const option of ['device', 'dtypes', 'runs', 'quick', 'json', 'results', 'gemm', 'profile']) {
    expect(stdout).toContain(`--${option}`);
  }
  for (const option of [
    'grids',
    'head-dims',
    'heads',
    'windows',
    'biases',
    'models',
    'sizes',
    'prompts',
    'batches',
  ]) {
    expect(stdout).toContain(`--${option} <list>`);
  }
  expect(stdout).toContain('4·N·N·D·heads');
});

describe('rows', () => {
  it('are every combination, without distance penalties in windows', () => {
    const cases = attentionCases({
      ...SHARED,
      windows: [null, 14],
      headDims: [64, 80],
      biases: ['none', 'rel', 'rel+euclidean'],
    });
    expect(cases).toHaveLength(2 * 2 * (3 + 2));
    expect(new Set(cases.map((one) => JSON.stringify(one))).size).toBe(cases.length);
    expect(cases.filter(({ window }) => window === 14).map(({ biases }) => biases)).not.toContain(
      'rel+euclidean',
    );
    expect(cases[0]).toEqual({
      ...{ dtype: 'f32', grid: [64, 64], heads: 12, headDim: 64, window: null, biases: 'none' },
    });
  });

  it('of the default sets include both head sizes, SAM’s windows, every model and a batch', () => {
    const layers = attentionCases(SHARED).map(
      ({ heads, headDim, window }) => `${heads}x${headDim} ${window}`,
    );
    expect(new Set(layers)).toEqual(new Set(['12x64 null', '12x64 14', '16x80 null', '16x80 14']));
    const inputs = encoderCases({ ...SHARED, dtypes: ['f32'] }).map(({ model, size }) => [model, size]);
    expect(inputs).toEqual([
      ...[512, 1024, 2048, 4096].map((size) => ['vit-b', size]),
      ...[
        ['vit-l', 1024],
        ['vit-h', 1024],
      ],
    ]);
    expect(decoderCases({}).map(({ prompt, prompts }) => [prompt, prompts])).toEqual([
      ['point', 1],
      ['box', 1],
      ['point+mask', 1],
      ['point', 16],
    ]);
  });

  it('of the quick sets are few', () => {
    const quick = { ...SHARED, quick: true };
    expect(attentionCases(quick).length).toBeLessThanOrEqual(6);
    expect(encoderCases(quick)).toEqual([
      { model: 'vit-b', size: 512, dtype: 'f32', f8: false, biases: 'plain' },
      { model: 'vit-b', size: 512, dtype: 'bf16', f8: false, biases: 'plain' },
    ]);
  });
});

describe('numbers', () => {
  it('are medians with their spread', () => {
    expect(median([5, 1, 3])).toBe(3);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(timesOf([3.1234567, 1, 20])).toEqual({ ms: 3.1235, min_ms: 1, max_ms: 20, runs: 3 });
  });

  it('per op are medians of sums, the longest first', () => {
    const profile = (add: number, linear: number): ProfileRow[] => [
      { op: 'add', milliseconds: add, flops: 0 },
      { op: 'linear', milliseconds: linear, flops: 0 },
      { op: 'add', milliseconds: 1, flops: 0 },
    ];
    const times = opTimes([profile(1, 10), profile(3, 30), profile(2, 20)]);
    expect(Object.entries(times)).toEqual([
      ['linear', 20],
      ['add', 3],
    ]);
  });

  it('that are random have their scale, and seeds of their own', () => {
    const [a, b] = [2, 3].map((seed) => fillRandom(new Float32Array(10_000), 2, seed));
    expect(a).not.toEqual(b);
    expect(a).toEqual(fillRandom(new Float32Array(10_000), 2, 2));
    const variance = a.reduce((sum, x) => sum + x * x, 0) / a.length;
    expect(variance).toBeGreaterThan((4 / 3) * 0.95);
    expect(variance).toBeLessThan((4 / 3) * 1.05);
    expect(a.every((x) => Math.abs(x) <= 2)).toBe(true);
  });

  it('are there for every tensor of a model', () => {
    const config = { ...encoderOnly(samConfig('vit-b')), depth: 1, width: 64, heads: 1, mlpDim: 128 };
    const tensors = [...randomWeights(config, 'bf16')].map(({ weight: { name, shape }, data }) => ({
      name,
      shape,
      of: data.length,
    }));
    expect(tensors).toEqual(
      modelTensors(config).map(({ name, shape }) => ({
        name,
        shape,
        of: shape.reduce((a, b) => a * b, 1),
      })),
    );
  });
});

describe('results', () => {
  const result = {
    benchmark: 'encoder' as const,
    ...{ date: '2026-11-23', version: '0.1.0', commit: 'abc1234', node: 'v20.0.0', rows: [] },
  };

  it('have the card’s name', () => {
    expect(resultName({ ...result, machine: {} })).toBe('2026-11-23-bench-encoder.json');
    const name = resultName({ ...result, machine: { gpu: 'NVIDIA H200 (SXM)' } });
    expect(name).toBe('2026-11-23-bench-encoder-nvidia-h200-sxm.json');
  });

  it('say in the table which row failed', () => {
    const named = { device: 'cpu', model: 'vit-b', biases: 'plain', dtype: 'f32' };
    const table = benchmarkTable('encoder', [
      { ...named, size: 512, ms: 12.5, min_ms: 12, max_ms: 13, runs: 5, gflops: 180.5, efficiency: 0.9 },
      { ...named, size: 16384, failed: 'its process was ended by SIGKILL' },
    ]);
    const lines = table.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/^device +model +size +biases +dtype +ms +min … max +runs +GFLOP\/s +share$/);
    expect(lines[1]).toMatch(/^cpu +vit-b +512 +plain +f32 +12\.5 +12 … 13 +5 +180\.5 +0\.9$/);
    expect(lines[2]).toMatch(/^cpu +vit-b +16384 +plain +f32 +failed: its process was ended by SIGKILL$/);
  });

  it('cannot replace a directory', async () => {
    mkdirSync(path.join(folder, 'taken.json'));
    writeFileSync(path.join(folder, 'file'), '');
    await refused(['bench', 'decoder', '--json', 'taken.json'], /taken\.json: it is a directory/, folder);
    await refused(['bench', 'decoder', '--results', 'file'], /Cannot write file\/.*not a directory/, folder);
  });
});
