// A benchmark's result: what ran where, and its rows; the file in bench/results that it becomes.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { ResolvedDevice } from '../device';
import { cudaAddon, native } from '../native';
import type { Benchmark } from '../options/bench';
import type { BenchmarkRow } from './run';

/** What the result file holds. */
export interface BenchmarkResult {
  readonly benchmark: Benchmark;
  /** Day, UTC. */
  readonly date: string;
  readonly version: string;
  readonly commit: string;
  readonly node: string;
  /** Present when it was a quick try. */
  readonly quick?: true;
  readonly machine: Readonly<Record<string, unknown>>;
  readonly rows: readonly BenchmarkRow[];
}

const ROOT = path.dirname(path.dirname(__dirname));

export function resultOf(
  benchmark: Benchmark,
  device: ResolvedDevice,
  quick: boolean,
  rows: readonly BenchmarkRow[],
): BenchmarkResult {
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
    version: string;
  };
  return {
    benchmark,
    date: new Date().toISOString().slice(0, 10),
    version,
    commit: commit(),
    node: process.version,
    ...(quick && { quick }),
    machine: machine(device),
    rows,
  };
}

/** `2026-11-23-bench-encoder.json`, or `2026-11-23-bench-encoder-nvidia-a100.json` for a GPU's. */
export function resultName({ benchmark, date, machine: { gpu } }: BenchmarkResult): string {
  const card = typeof gpu === 'string' ? `-${gpu.toLowerCase().replace(/[^a-z0-9]+/g, '-')}` : '';
  return `${date}-bench-${benchmark}${card.replace(/-$/, '')}.json`;
}

// An installed package is no repository, but may lie in somebody else's.
function commit(): string {
  if (process.env.BA_SAM_COMMIT) return process.env.BA_SAM_COMMIT;
  if (!existsSync(path.join(ROOT, '.git'))) return 'unknown';
  const git = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT, encoding: 'utf8' });
  return git.stdout?.trim() || 'unknown';
}

/** Facts that times depend on. No paths and no names of machines. */
export function machine(device: ResolvedDevice): Record<string, unknown> {
  const host = {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memory_gb: gib(os.totalmem()),
  };
  if (device.kind === 'cpu') return { ...host, ...native().info() };
  const { backend, driver, runtime, cublasLt, devices } = cudaAddon().info();
  const card = devices.find(({ index }) => index === device.index);
  return {
    ...host,
    ...{ backend, driver, runtime },
    cublasLt: 'version' in cublasLt ? cublasLt.version : cublasLt.reason,
    ...(card && {
      gpu: card.name,
      compute_capability: card.computeCapability,
      device_memory_gb: gib(card.memoryBytes),
    }),
  };
}

const gib = (bytes: number) => Number((bytes / 2 ** 30).toFixed(1));
