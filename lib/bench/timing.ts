// Repeated measurements and what is reported of them.
import type { ProfileRow } from '../graph/profile';

/**
 * How often something is measured: until it was done `minRuns` times and has taken `seconds`, at most `maxRuns` times; and less
 * often when that takes longer than `maxSeconds`.
 */
export interface Repeats {
  readonly minRuns: number;
  readonly maxRuns: number;
  readonly seconds: number;
  readonly maxSeconds: number;
}

/** What every row says about its times, in ms. */
export interface Times {
  /** Median. */
  readonly ms: number;
  readonly min_ms: number;
  readonly max_ms: number;
  /** Measurements that the median is of. */
  readonly runs: number;
}

/**
 * Runs several variants one after the other, round by round, so that a machine whose speed drifts treats all alike. No round
 * begins after `maxSeconds`; when the first round alone exceeds them, that one is the result: what it does besides, packing
 * weights, is not seen any more then.
 *
 * @param warmUp rounds that are left out: they pack weights, fold constants, and on CUDA capture a graph
 * @returns the results of every variant, in order
 */
export async function measureInterleaved<T>(
  variants: readonly (() => Promise<T>)[],
  warmUp: number,
  repeats: Repeats,
  now: () => number = () => performance.now(),
): Promise<T[][]> {
  const round = async () => {
    const list: T[] = [];
    for (const variant of variants) list.push(await variant());
    return list;
  };
  let start = now();
  const seconds = () => (now() - start) / 1000;
  for (let i = 0; i < warmUp; i++) {
    const first = await round();
    if (seconds() > repeats.maxSeconds) return first.map((result) => [result]);
  }
  start = now();
  const rounds: T[][] = [];
  do rounds.push(await round());
  while (
    rounds.length < repeats.maxRuns &&
    (rounds.length < repeats.minRuns ? seconds() < repeats.maxSeconds : seconds() < repeats.seconds)
  );
  return variants.map((_, i) => rounds.map((list) => list[i]));
}

/** Duration of a call by the clock, in ms. */
export async function wall(call: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await call();
  return performance.now() - start;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function timesOf(values: readonly number[]): Times {
  return {
    ms: digits(median(values)),
    min_ms: digits(Math.min(...values)),
    max_ms: digits(Math.max(...values)),
    runs: values.length,
  };
}

/** Time of all nodes of a run, in ms. */
export function total(profile: readonly ProfileRow[]): number {
  return profile.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
}

/** Operations of a run, which do not differ between runs. */
export function flopsOf(profiles: readonly (readonly ProfileRow[])[]): number {
  return profiles[0].reduce((sum, { flops }) => sum + flops, 0);
}

/** Median time per op over several runs, in ms, the longest first. */
export function opTimes(profiles: readonly (readonly ProfileRow[])[]): Record<string, number> {
  const sums = profiles.map((profile) => {
    const perOp = new Map<string, number>();
    for (const { op, milliseconds } of profile) perOp.set(op, (perOp.get(op) ?? 0) + milliseconds);
    return perOp;
  });
  const names = [...new Set(sums.flatMap((perOp) => [...perOp.keys()]))];
  const rows = names.map((op) => [op, digits(median(sums.map((perOp) => perOp.get(op) ?? 0)))] as const);
  return Object.fromEntries(rows.sort(([, a], [, b]) => b - a));
}

/** Five significant digits: no clock here is better. */
export function digits(value: number): number {
  return Number(value.toPrecision(5));
}

export function round(value: number, decimals = 1): number {
  return Number(value.toFixed(decimals));
}
