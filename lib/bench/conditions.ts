// The conditions under which a row is measured: between two measurements of the product's rate in the same process, so that
// a drifting machine shows, and with peaks of memory that are the row's own.
import type { ResolvedDevice } from '../device';
import type { ComputeDType } from '../model/weights';
import { gemmRate } from './gemm';
import { type Peaks, peaks, resetPeaks } from './memory';
import { digits, type Repeats, round } from './timing';

/** What every row is told. */
export interface RowConditions {
  readonly device: ResolvedDevice;
  readonly repeats: Repeats;
  /** Side of the product that rates are compared with; default: see gemm.ts. */
  readonly gemmSide?: number;
}

/** What every row says about its rate. */
export interface Rates {
  /** Operations, as `ProfileRow.flops` counts them, in 10⁹. */
  readonly gflop: number;
  readonly gflops: number;
  /** Rate of the product in the same process and dtype, before and after. */
  readonly gemm_gflops: readonly [before: number, after: number];
  /**
   * gflops over the larger of gemm_gflops: a processor that others use as well is slowed down for seconds at a time, and a
   * product that was slowed down is no measure.
   */
  readonly share: number;
}

/** Measures a row between two measurements of the product's rate. The first of them warms the compute threads up. */
export async function measureBetweenProducts<T>(
  dtype: ComputeDType,
  conditions: RowConditions,
  measure: () => Promise<T>,
): Promise<{ measured: T; peaks: Peaks; gemm_gflops: readonly [number, number] }> {
  const { device, gemmSide, repeats } = conditions;
  const runs = Math.min(6, repeats.minRuns + 1);
  const before = await gemmRate(device, dtype, runs, gemmSide);
  resetPeaks(device);
  const measured = await measure();
  const reached = peaks(device);
  const after = await gemmRate(device, dtype, runs, gemmSide);
  return { measured, peaks: reached, gemm_gflops: [round(before), round(after)] };
}

export function rates(operations: number, ms: number, gemm_gflops: readonly [number, number]): Rates {
  const gflops = operations / ms / 1e6;
  return {
    gflop: digits(operations / 1e9),
    gflops: round(gflops),
    gemm_gflops,
    share: round(gflops / Math.max(...gemm_gflops), 3),
  };
}
