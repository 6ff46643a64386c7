// What all parts of the study share: sizes, seeds, results and where they come from.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type * as library from '../../lib/index.ts';
import type { Provenance, Time } from './types.mts';

export const ROOT = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
export const RESULTS = path.join(ROOT, 'bench', 'results');

const require = createRequire(import.meta.url);

/**
 * The compiled library: with its sources as ES modules it would not find its addon and its model, which lie beside a
 * CommonJS module's `__dirname`. What needs neither is imported as source.
 */
export function compiledLibrary(): typeof library {
  return require(path.join(ROOT, 'dist', 'index.js'));
}

/** Sizes relative to the trained side. */
export const FACTORS = [1, 1.5, 2, 3, 4];
export const PROMPTS = ['gt-point', 'gt-box'] as const;

/** First seeds: scenes of trials, of the search and of the report never meet. */
export const SEEDS = { report: 10_000, searchCoarse: 1_000_000, searchFine: 2_000_000, trial: 3_000_000 };

export const mean = (values: readonly number[]) =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
export const round = (value: number, digits = 4) => Number(value.toFixed(digits));

/** A result, and the name of its file. */
export type Stored<T> = T & { readonly file: string };

/** Newest result of a name, or undefined: file names begin with their date. */
export function latestResult<T>(name: string): Stored<T> | undefined {
  const file = readdirSync(RESULTS)
    .filter((entry) => entry.endsWith(`-${name}.json`))
    .sort()
    .at(-1);
  return file === undefined
    ? undefined
    : { file, ...JSON.parse(readFileSync(path.join(RESULTS, file), 'utf8')) };
}

/** How a distance penalty is written in tables. */
export function penaltyText({ metric, slopes, start }: library.DistancePenalty): string {
  const slope = slopes === 'alibi' ? 'ALiBi slopes' : `slope ${slopes}`;
  return `${metric}, ${slope}, start ${start}`;
}

/** When, where and with what something was measured. */
export function provenance(): Provenance {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
  return {
    date: new Date().toISOString().slice(0, 10),
    version,
    commit: git('rev-parse', '--short', 'HEAD'),
    node: process.version,
    machine: { cpu: os.cpus()[0].model, cores: os.availableParallelism() },
  };
}

/** Measures time: `clock(cpu_s)` gives seconds so far, of the clock and of all cores; cpu_s is what other processes used. */
export function startClock(): (others_s: number) => Time {
  const start = performance.now();
  const cpu = process.cpuUsage();
  return (others_s) => {
    const { user, system } = process.cpuUsage(cpu);
    return {
      wall_s: Math.round((performance.now() - start) / 1000),
      cpu_s: Math.round((user + system) / 1e6 + others_s),
    };
  };
}

/** Prints how far a long run is, at most every 15 seconds. */
export function progress(title: string, total: number): () => void {
  const start = performance.now();
  let done = 0;
  let last = 0;
  return () => {
    done++;
    const now = performance.now();
    if (now - last < 15_000 && done < total) return;
    last = now;
    const left = Math.round(((now - start) / done / 1000) * (total - done));
    process.stderr.write(`${title}: ${done} of ${total}, ${left} s left\n`);
  };
}

/** Writes a result; returns its path. */
export function writeResult(name: string, result: { readonly date: string }): string {
  const file = path.join(RESULTS, `${result.date}-${name}.json`);
  writeFileSync(file, `${JSON.stringify(result)}\n`);
  return file;
}
