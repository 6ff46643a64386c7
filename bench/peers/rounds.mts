// Rounds of turns: every peer gets one process per round, in an order that rotates, and no time is believed before the
// embedding behind it has been compared.
import { rmSync } from 'node:fs';
import { norm, readEmbedding, relativeDifference, TOLERANCE } from './embedding.mts';
import type { Limits, Turn } from './turn.mts';
import { failure, type Report, readReport, type Verdict } from './verdict.mts';

/** Software that is compared, in one dtype. */
export interface Peer {
  readonly peer: string;
  readonly dtype: keyof typeof TOLERANCE;
  /** Why it cannot run here. */
  readonly skipped?: string;
}

/** A row of the result: times when status is `ok`, otherwise a reason. */
export interface PeerRow {
  readonly peer: string;
  readonly dtype: string;
  readonly model: string;
  readonly size: number;
  readonly status: 'ok' | Verdict['status'];
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

/** What is measured. */
export interface RoundOptions<P extends Peer> {
  readonly peers: readonly P[];
  readonly model: string;
  readonly sizes: readonly number[];
  readonly rounds: number;
  readonly runs: number;
  /** Peers that others may be compared with. */
  readonly references: readonly string[];
}

/** How it is measured. */
export interface RoundTools<P extends Peer, J extends { readonly out: string }> {
  readonly limits: Limits;
  jobOf(peer: P, size: number): J;
  run(peer: P, job: J, limits: Limits): Promise<Turn>;
  /** Why a size cannot be measured; asked once, before its turns. */
  sizeFails(size: number): Promise<Verdict | undefined>;
  /** `rows`: all so far, after a turn. */
  onTurn(text: string, rows?: PeerRow[]): void;
}

/** A turn that counts. */
interface Measured extends Report {
  readonly difference: number;
  readonly reference: string;
}

/** Peers of a round: the list as it is, then turned a little further every time. */
export function orderOf<T>(peers: readonly T[], round: number, rounds: number): T[] {
  const step = Math.max(1, Math.floor(peers.length / rounds));
  const shift = (round * step) % peers.length;
  return [...peers.slice(shift), ...peers.slice(0, shift)];
}

function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[middle - 0.5] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const round = (value: number, digits = 1) => Number(value.toFixed(digits));

/** All turns of one peer at one size. */
class Entry<P extends Peer> {
  readonly columns: Pick<PeerRow, 'peer' | 'dtype' | 'model' | 'size'>;
  readonly turns: Measured[] = [];
  verdict: Verdict | undefined;

  constructor(
    readonly peer: P,
    model: string,
    size: number,
  ) {
    this.columns = { peer: peer.peer, dtype: peer.dtype, model, size };
    this.verdict = peer.skipped === undefined ? undefined : { status: 'skipped', reason: peer.skipped };
  }

  /** A row of the result, or undefined as long as there is nothing to say. */
  row(): PeerRow | undefined {
    if (this.verdict) return { ...this.columns, ...this.verdict };
    if (this.turns.length === 0) return undefined;
    const runs = this.turns.flatMap(({ runs_ms }) => runs_ms);
    const of = (name: 'load_s' | 'first_ms' | 'peak_rss_mb' | 'difference') =>
      this.turns.map((turn) => turn[name]);
    return {
      ...this.columns,
      status: 'ok',
      ms: round(median(runs)),
      min_ms: round(Math.min(...runs)),
      max_ms: round(Math.max(...runs)),
      runs_ms: runs.map((ms) => round(ms)),
      load_s: round(median(of('load_s')), 2),
      first_ms: round(median(of('first_ms'))),
      peak_rss_mb: round(Math.max(...of('peak_rss_mb'))),
      difference: Number(Math.max(...of('difference')).toPrecision(3)),
      reference: this.turns[0].reference,
      turns: this.turns.length,
      versions: this.turns.at(-1)?.versions,
    };
  }
}

/** Compares embeddings of one size with the first in f32 that can be used. */
class Comparison {
  #reference: { readonly values: Float32Array; readonly name: string } | undefined;

  constructor(private readonly candidates: readonly string[]) {}

  check(values: Float32Array, { peer, dtype }: Peer): Verdict | Pick<Measured, 'difference' | 'reference'> {
    if (!this.#reference) {
      const length = norm(values);
      if (!(Number.isFinite(length) && length > 0)) {
        return { status: 'disagrees', reason: 'its embedding is zero or not finite' };
      }
      if (dtype !== 'f32' || !this.candidates.includes(peer)) {
        return { status: 'failed', reason: 'there is no f32 reference of this size to compare it with' };
      }
      this.#reference = { values, name: `${peer} ${dtype}` };
    }
    const difference = relativeDifference(values, this.#reference.values);
    if (difference <= TOLERANCE[dtype]) return { difference, reference: this.#reference.name };
    const by = Number.isFinite(difference) ? difference.toPrecision(3) : 'not finite';
    const reason = `relative difference from ${this.#reference.name}: ${by}, the limit is ${TOLERANCE[dtype]}`;
    return { status: 'disagrees', reason };
  }
}

/**
 * Runs all turns.
 *
 * @returns rows; those of turns that an interrupted run never reached are left out
 */
export async function runRounds<P extends Peer, J extends { readonly out: string }>(
  { peers, model, sizes, rounds, runs, references }: RoundOptions<P>,
  { limits, jobOf, run, sizeFails, onTurn }: RoundTools<P, J>,
): Promise<PeerRow[]> {
  const entries = sizes.flatMap((size) => peers.map((peer) => new Entry(peer, model, size)));
  const rows = () => entries.map((entry) => entry.row()).filter((row) => row !== undefined);
  for (const size of sizes) {
    const here = entries.filter((entry) => entry.columns.size === size);
    const open = () => here.filter((entry) => !entry.verdict);
    const unusable = open().length > 0 ? await sizeFails(size) : undefined;
    if (unusable) for (const entry of open()) entry.verdict = unusable;
    for (const { peer, verdict } of here) {
      if (!verdict) continue;
      const { status, reason } = verdict;
      onTurn(`${size} px: ${peer.peer} ${peer.dtype} ${status}: ${reason}`, rows());
    }
    const comparison = new Comparison(references);
    for (let turn = 0; turn < rounds; turn++) {
      for (const entry of orderOf(here, turn, rounds)) {
        if (limits.signal?.aborted) return rows();
        if (entry.verdict) continue;
        const label = `${size} px, round ${turn + 1} of ${rounds}: ${entry.peer.peer} ${entry.peer.dtype}`;
        onTurn(`${label} …`);
        await takeTurn(entry, { comparison, limits, run, runs, job: jobOf(entry.peer, size) });
        onTurn(`${label} ${summary(entry)}`, rows());
      }
    }
  }
  return rows();
}

async function takeTurn<P extends Peer, J extends { readonly out: string }>(
  entry: Entry<P>,
  {
    comparison,
    limits,
    run,
    runs,
    job,
  }: Pick<RoundTools<P, J>, 'limits' | 'run'> & { comparison: Comparison; runs: number; job: J },
): Promise<void> {
  const { size } = entry.columns;
  rmSync(job.out, { force: true }); // an old file must not pass for this turn's
  const turn = await run(entry.peer, job, limits);
  // A turn that did not end well takes the entry's earlier times with it: a peer that fails now and then has no time.
  const failed = failure(turn, limits, size);
  if (failed) {
    if (turn.ended !== 'interrupted' || entry.turns.length === 0) entry.verdict = failed;
    return;
  }
  const { report, reason } = readReport(turn.stdout, runs);
  if (!report) {
    entry.verdict = { status: 'failed', reason };
    return;
  }
  let compared: ReturnType<Comparison['check']>;
  try {
    compared = comparison.check(readEmbedding(job.out, size), entry.peer);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    compared = { status: 'failed', reason: code ? `no embedding: ${code}` : message };
  }
  if ('status' in compared) entry.verdict = compared;
  else entry.turns.push({ ...report, ...compared });
}

function summary({ verdict, turns }: Entry<Peer>): string {
  if (verdict) return `${verdict.status}: ${verdict.reason}`;
  const { runs_ms, peak_rss_mb, difference } = turns.at(-1)!;
  const times = runs_ms.map((ms) => round(ms)).join(', ');
  return `${times} ms, ${Math.round(peak_rss_mb)} MB, difference ${difference.toPrecision(2)}`;
}
