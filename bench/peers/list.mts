// Who is compared: each peer's name, dtypes, what it needs and the command of a turn.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PeerOptions } from './options.mts';
import type { Peer } from './rounds.mts';
import type { Command } from './turn.mts';
import { requireFrom } from './worker.mjs';

/** What a worker is told. */
export interface Job {
  /** Folders of the size and of 1024 px. */
  readonly folder: string;
  readonly base: string;
  readonly size: number;
  readonly dtype: string;
  readonly runs: number;
  readonly threads: number;
  /** Where the embedding goes. */
  readonly out: string;
  readonly modules: string;
}

/** A peer that can be started. */
export interface ListedPeer extends Peer {
  /** Packages that it needs, of Python or of Node. */
  readonly python?: readonly string[];
  readonly node?: readonly string[];
  readonly command: (job: Job, options: PeerOptions) => Command;
}

const here = path.dirname(fileURLToPath(import.meta.url));

function node(script: string): ListedPeer['command'] {
  return (job) => ({ command: process.execPath, args: [path.join(here, script), JSON.stringify(job)] });
}

function torch(attention: string): ListedPeer['command'] {
  return (job, { python }) => ({
    command: python,
    args: [path.join(here, 'worker_torch.py'), JSON.stringify({ ...job, attention })],
  });
}

const TORCH = ['torch', 'transformers', 'numpy'];
/** What export.py imports. */
const EXPORT = [...TORCH, 'onnx', 'onnxscript'];

// The first in f32 that runs is what the others are compared with.
const PEERS: readonly ListedPeer[] = [
  { peer: 'PyTorch SDPA', dtype: 'f32', python: TORCH, command: torch('sdpa') },
  { peer: 'PyTorch eager', dtype: 'f32', python: TORCH, command: torch('eager') },
  { peer: 'onnxruntime-node', dtype: 'f32', node: ['onnxruntime-node'], command: node('worker-onnx.mjs') },
  { peer: 'ba-sam', dtype: 'f32', command: node('worker-ba-sam.mjs') },
  {
    peer: 'transformers.js',
    dtype: 'f32',
    node: ['@huggingface/transformers'],
    command: node('worker-transformers-js.mjs'),
  },
  { peer: 'PyTorch SDPA', dtype: 'bf16', python: TORCH, command: torch('sdpa') },
  { peer: 'PyTorch eager', dtype: 'bf16', python: TORCH, command: torch('eager') },
  { peer: 'ba-sam', dtype: 'bf16', command: node('worker-ba-sam.mjs') },
];

/** For --peers. */
export const PEER_NAMES = [...new Set(PEERS.map(({ peer }) => peer))];

/** Which of these Python packages are missing; a reason when Python itself is. */
function missingPython(python: string, packages: readonly string[]): string | undefined {
  const code =
    'import importlib.util as u, sys; print(*[n for n in sys.argv[1:] if u.find_spec(n) is None], sep=",")';
  const found = spawnSync(python, ['-c', code, ...packages], { encoding: 'utf8', timeout: 120_000 });
  if (found.error || found.status !== 0) return 'Python cannot be started (--python)';
  const missing = found.stdout.trim();
  return missing === '' ? undefined : `not installed for Python: ${missing.replaceAll(',', ', ')} (--python)`;
}

function missingNode(modules: string, packages: readonly string[]): string | undefined {
  const require = requireFrom(modules);
  const missing = packages.filter((name) => {
    try {
      require.resolve(name);
      return false;
    } catch {
      return true;
    }
  });
  return missing.length === 0 ? undefined : `not installed: ${missing.join(', ')} (--node-modules)`;
}

/**
 * The peers asked for, in the order of the list, each with `skipped`, a reason, when it cannot run here.
 *
 * @returns exportMissing: why export.py cannot run
 */
export function findPeers({ peers: names, python, modules }: PeerOptions): {
  peers: ListedPeer[];
  exportMissing: string | undefined;
} {
  const reasons = new Map<string, string | undefined>();
  const check = (packages: readonly string[]) => {
    const key = packages.join();
    if (!reasons.has(key)) reasons.set(key, missingPython(python, packages));
    return reasons.get(key);
  };
  const built = existsSync(path.join(here, '../../dist/index.js'));
  const peers = PEERS.filter(({ peer }) => names.includes(peer)).map((peer) => {
    let skipped: string | undefined;
    if (peer.python) skipped = check(peer.python);
    else if (peer.node) skipped = missingNode(modules, peer.node);
    else if (!built) skipped = 'not built: npm run build';
    return { ...peer, skipped };
  });
  return { peers, exportMissing: check(EXPORT) };
}
