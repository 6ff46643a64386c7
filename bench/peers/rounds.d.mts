// Types of rounds.mjs for its tests.
import type { Limits, Turn } from './turn.mjs';

export interface Peer {
  readonly peer: string;
  readonly dtype: 'f32' | 'bf16';
  /** Why it cannot run here. */
  readonly skipped?: string;
}
export interface Row {
  readonly peer: string;
  readonly dtype: string;
  readonly model: string;
  readonly size: number;
  readonly status: string;
  readonly reason?: string;
  readonly ms?: number;
  readonly min_ms?: number;
  readonly max_ms?: number;
  readonly runs_ms?: readonly number[];
  readonly load_s?: number;
  readonly first_ms?: number;
  readonly peak_rss_mb?: number;
  readonly difference?: number;
  readonly reference?: string;
  readonly turns?: number;
  readonly versions?: Readonly<Record<string, string>>;
}
export interface Plan<P extends Peer> {
  readonly peers: readonly P[];
  readonly model: string;
  readonly sizes: readonly number[];
  readonly rounds: number;
  readonly runs: number;
  readonly references: readonly string[];
}
export interface Tools<P extends Peer, J extends { out: string }> {
  readonly limits: Limits;
  jobOf(peer: P, size: number): J;
  run(peer: P, job: J, limits: Limits): Promise<Turn>;
  sizeFails(size: number): Promise<{ status: string; reason: string } | undefined>;
  onTurn(text: string, rows?: Row[]): void;
}
export function orderOf<T>(peers: readonly T[], round: number, rounds: number): T[];
export function runRounds<P extends Peer, J extends { out: string }>(
  plan: Plan<P>,
  tools: Tools<P, J>,
): Promise<Row[]>;
