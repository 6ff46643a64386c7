// What came of a turn: a report that can be believed so far, or a status with its reason.
import type { Limits, Turn } from './turn.mts';

/** Why a peer has no time. */
export interface Verdict {
  readonly status: 'skipped' | 'out of memory' | 'timed out' | 'disagrees' | 'failed';
  readonly reason: string;
  readonly peak_rss_mb?: number;
}

/** A worker's last line. */
export interface Report {
  readonly load_s: number;
  readonly first_ms: number;
  readonly runs_ms: readonly number[];
  readonly peak_rss_mb: number;
  readonly versions: Readonly<Record<string, string>>;
}

const ALLOCATION =
  /out of memory|out_of_memory|(?:can't|cannot|could not|failed to|unable to) allocate|not enough memory|bad[ _]alloc|allocation failed|MemoryError|ENOMEM/i;
const REASON_CHARACTERS = 300;

/** One line without folders of this machine, which are nobody's business in a result file. */
function tidy(text: string): string {
  const line = text.replace(/(?:\/[\w.+@-]+)+\/(?=[\w.+@-])/g, '').replace(/\s+/g, ' ');
  return line.trim().slice(0, REASON_CHARACTERS);
}

/** The line in which a failed process says why: the one about memory, else the last. */
export function ownWords({ stdout, stderr }: Pick<Turn, 'stdout' | 'stderr'>): {
  words: string;
  allocation: boolean;
} {
  const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => line.trim() !== '');
  const words = lines.findLast((line) => ALLOCATION.test(line)) ?? lines.at(-1) ?? '';
  return { words: tidy(words), allocation: ALLOCATION.test(words) };
}

const gb = (value: number) => `${value.toFixed(1)} GB`;

/**
 * Why a process did not do its work.
 *
 * @param size side of the input, px
 * @returns undefined when it ended well
 */
export function failure(turn: Turn, { memory_gb, timeout_s }: Limits, size: number): Verdict | undefined {
  const at = `at ${size} px`;
  const peak_rss_mb = Math.round(turn.peak_gb * 1024);
  if (turn.ended === 'memory') {
    const reason = `held ${gb(turn.peak_gb)} ${at}, the limit was ${gb(memory_gb)}`;
    return { status: 'out of memory', reason, peak_rss_mb };
  }
  if (turn.ended === 'system') {
    return {
      status: 'out of memory',
      reason: `the system ended it ${at}, last seen with ${gb(turn.peak_gb)}`,
      peak_rss_mb,
    };
  }
  if (turn.ended === 'time') {
    return { status: 'timed out', reason: `after ${timeout_s} s ${at}`, peak_rss_mb };
  }
  if (turn.ended === 'interrupted') return { status: 'skipped', reason: 'interrupted' };
  if (turn.error)
    return { status: 'failed', reason: tidy(`did not start: ${turn.error.code ?? turn.error.message}`) };
  if (turn.code === 0) return undefined;
  const { words, allocation } = ownWords(turn);
  if (allocation) {
    return {
      status: 'out of memory',
      reason: `${at}, with ${gb(turn.peak_gb)} before: ${words}`,
      peak_rss_mb,
    };
  }
  return {
    status: 'failed',
    reason: words || (turn.signal ? `ended by ${turn.signal}` : `exit ${turn.code}`),
  };
}

/**
 * A worker's last line.
 *
 * @returns { report } or { reason } when it is not what a worker prints
 */
export function readReport(
  stdout: string,
  runs: number,
): { report: Report; reason?: undefined } | { report?: undefined; reason: string } {
  const line = stdout.trimEnd().split('\n').at(-1) ?? '';
  let report: Report;
  try {
    report = JSON.parse(line);
  } catch {
    return { reason: tidy(`Expected a line of JSON from the worker but received ${line || 'nothing'}`) };
  }
  const positive = (value: number | undefined) => Number.isFinite(value) && Number(value) > 0;
  const wrong =
    (['load_s', 'first_ms', 'peak_rss_mb'] as const).find((name) => !positive(report?.[name])) ??
    (Array.isArray(report.runs_ms) && report.runs_ms.length === runs && report.runs_ms.every(positive)
      ? undefined
      : 'runs_ms') ??
    (typeof report.versions === 'object' && report.versions !== null ? undefined : 'versions');
  return wrong === undefined ? { report } : { reason: `the worker's report has no usable ${wrong}` };
}
