// Types of verdict.mjs for its tests.
import type { Limits, Turn } from './turn.mjs';

export interface Report {
  readonly load_s: number;
  readonly first_ms: number;
  readonly runs_ms: readonly number[];
  readonly peak_rss_mb: number;
  readonly versions: Readonly<Record<string, string>>;
}
export function ownWords(output: { stdout: string; stderr: string }): { words: string; allocation: boolean };
export function failure(
  turn: Turn,
  limits: Limits,
  size: number,
): { status: string; reason: string; peak_rss_mb?: number } | undefined;
export function readReport(
  stdout: string,
  runs: number,
): { report: Report } | { report?: undefined; reason: string };
