// `npm run bench:peers`: ba-sam's image encoder beside onnxruntime-node, transformers.js and PyTorch with transformers on the
// CPU: the same random weights, the same image, one process per turn. bench/peers/README.md says how to install the peers and
// what is compared.
import { spawnSync } from 'node:child_process';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { PeerFiles } from './peers/files.mts';
import { findPeers } from './peers/list.mts';
import { type PeerOptions, parseOptions, USAGE, UsageError } from './peers/options.mts';
import { type PeerRow, runRounds } from './peers/rounds.mts';
import { type Command, type Limits, runTurn } from './peers/turn.mts';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
/** Peers whose f32 embedding may be the reference, the most independent one first. */
const REFERENCES = ['PyTorch SDPA', 'PyTorch eager', 'onnxruntime-node', 'ba-sam'];
const COLUMNS: readonly (keyof PeerRow)[] = [
  'peer',
  'dtype',
  'size',
  'status',
  'ms',
  'min_ms',
  'max_ms',
  'first_ms',
  'load_s',
  'peak_rss_mb',
  'difference',
];

function commandLine(): PeerOptions {
  try {
    return parseOptions(process.argv.slice(2), root);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    return process.exit(2);
  }
}

/** Everything but the rows. */
function provenance({ threads, rounds, runs, memory_gb, timeout_s }: PeerOptions) {
  const require = createRequire(import.meta.url);
  const git = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' });
  let info = {};
  try {
    const { backend, ...cpu } = require(path.join(root, 'dist/native.js')).native().info();
    info = cpu;
  } catch {
    // Not built: then ba-sam's rows say so.
  }
  return {
    benchmark: 'peers',
    date: new Date().toISOString().slice(0, 10),
    version: JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).version,
    commit: process.env.BA_SAM_COMMIT ?? (git.stdout?.trim() || 'unknown'),
    node: process.version,
    machine: {
      cpu: os.cpus()[0].model,
      cores: os.availableParallelism(),
      memory_gb: Number((os.totalmem() / 2 ** 30).toFixed(1)),
      ...info,
      threads,
    },
    rounds,
    runs_per_turn: runs,
    limits: { memory_gb, timeout_s },
  };
}

/** Replaces the file in one step: a kill in between leaves the old one. */
function writeResult(file: string, result: unknown): void {
  writeFileSync(`${file}.partial`, `${JSON.stringify(result, null, 1)}\n`);
  renameSync(`${file}.partial`, file);
}

async function main() {
  const options = commandLine();
  if (options.help) {
    console.log(USAGE);
    return;
  }
  const { threads, json, memory_gb, timeout_s } = options;
  const interruption = new AbortController();
  let status = 0;
  for (const [name, number] of Object.entries({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 })) {
    process.on(name, () => {
      status = 128 + number;
      interruption.abort();
    });
  }
  const limits = { memory_gb, timeout_s, signal: interruption.signal };
  // All of them read one of these, and nobody asks a network for anything.
  const env = {
    ...process.env,
    ...{
      OMP_NUM_THREADS: String(threads),
      MKL_NUM_THREADS: String(threads),
      BA_SAM_THREADS: String(threads),
    },
    ...{ HF_HUB_OFFLINE: '1', TRANSFORMERS_VERBOSITY: 'error' },
  };
  const run = (command: Command, turnLimits: Limits, onLine?: (line: string) => void) =>
    runTurn({ ...command, env }, turnLimits, onLine);

  const { peers, exportMissing } = findPeers(options);
  const head = provenance(options);
  const save = (rows: readonly PeerRow[], complete: boolean) => {
    if (json !== undefined) writeResult(json, { ...head, complete, rows });
  };
  save([], false); // a file that cannot be written is found out now
  const files = new PeerFiles(options, run);
  const say = (text: string) => console.error(text);
  let rows: PeerRow[];
  try {
    rows = await runRounds(
      { ...options, peers, references: REFERENCES },
      {
        limits,
        jobOf: (peer, size) => files.job(peer, size),
        run: (peer, job) => run(peer.command(job, options), limits),
        sizeFails: (size) => files.make(size, exportMissing, limits, say),
        onTurn: (text, soFar) => {
          say(text);
          if (soFar) save(soFar, false);
        },
      },
    );
  } finally {
    rmSync(files.scratch, { recursive: true, force: true });
  }
  save(rows, status === 0);
  console.table(
    rows.map((row) => Object.fromEntries(COLUMNS.map((name) => [name, String(row[name] ?? '')]))),
  );
  if (status !== 0) process.exitCode = status;
  else if (!rows.some((row) => row.status === 'ok')) process.exitCode = 1;
  else if (rows.some((row) => row.status === 'disagrees' || row.status === 'failed')) process.exitCode = 1;
}

await main();
