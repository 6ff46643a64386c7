// Rounds of fake workers: what each of them does is part of its peer.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { type Peer, type PeerRow, runRounds } from '../../../bench/peers/rounds.mts';
import { type Limits, runTurn } from '../../../bench/peers/turn.mts';

const WORKER = path.join(__dirname, 'fake-worker.mjs');

/** A peer whose turns run fake-worker.mjs. */
export interface FakePeer extends Peer {
  /** What its turns do, the last one again and again. */
  readonly acts?: readonly Readonly<Record<string, unknown>>[];
}

/** A folder that goes with the test. */
export function scratch(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'ba-sam-peers-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Whether a process is there and no zombie. */
export function lives(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

interface FakeOptions {
  rounds?: number;
  runs?: number;
  sizes?: number[];
  /** `order` tells which turns have begun. */
  onTurn?: (text: string, order: () => string[]) => void;
}

/** Runs rounds of fakes at 64 px. */
export async function fakeRounds(
  peers: readonly FakePeer[],
  { rounds = 1, runs = 2, sizes = [64], onTurn, ...rest }: Partial<Limits> & FakeOptions = {},
) {
  const folder = scratch();
  const log = path.join(folder, 'log');
  const limits: Limits = { memory_gb: 4, timeout_s: 300, ...rest };
  const texts: string[] = [];
  const snapshots: PeerRow[][] = [];
  const taken = new Map<FakePeer, number>();
  const order = () => readFileSync(log, 'utf8').trimEnd().split('\n');
  const rows = await runRounds(
    { peers, model: 'fake', sizes, rounds, runs, references: ['A', 'B'] },
    {
      limits,
      jobOf: ({ peer, dtype, acts = [{}] }, size) => ({
        out: path.join(folder, 'out'),
        peer,
        dtype,
        acts,
        size,
      }),
      run: (peer, { acts, ...job }) => {
        const turn = taken.get(peer) ?? 0;
        taken.set(peer, turn + 1);
        const act = acts[Math.min(turn, acts.length - 1)];
        const name = `${peer.peer} ${peer.dtype}`;
        const args = [WORKER, JSON.stringify({ act: 'work', name, log, runs, ...job, ...act })];
        // A short limit is meant for a turn that does not end.
        const own = act.act === 'hang' ? limits : { ...limits, timeout_s: 300 };
        return runTurn({ command: process.execPath, args }, own);
      },
      sizeFails: async () => undefined,
      onTurn: (text, soFar) => {
        texts.push(text);
        onTurn?.(text, order);
        if (soFar) snapshots.push(soFar);
      },
    },
  );
  return { rows, texts, snapshots, order };
}
