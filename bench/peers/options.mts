// The command line of bench/peers.mts, checked before any work starts.
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { PEER_NAMES } from './list.mts';

export const USAGE = `npm run bench:peers [-- options]
  --sizes 1024          input sides in px, multiples of 16: 512,768,1024,…
  --model vit-b         or tiny, for a trial
  --peers ${PEER_NAMES.map((name) => (name.includes(' ') ? `"${name}"` : name)).join(',')}
  --rounds 3            turns of every peer; --runs 3: timed runs in each
  --threads N           of every peer (default: this machine's processors)
  --memory-gb N         a peer above this is ended (default: 80 % of what is available)
  --timeout-s 1800      a turn that takes longer is ended
  --python PATH         with torch, transformers, onnx, onnxscript (default: BA_SAM_BENCH_PYTHON, or python3)
  --node-modules DIR    where onnxruntime-node and @huggingface/transformers are (default: the working directory)
  --cache DIR           for weights, images and ONNX files (default: .bench-peers)
  --json FILE           results, written after every turn`;

/** What the command line says. */
export interface PeerOptions {
  readonly help: boolean;
  readonly sizes: readonly number[];
  readonly model: string;
  readonly peers: readonly string[];
  readonly rounds: number;
  readonly runs: number;
  readonly threads: number;
  readonly memory_gb: number;
  readonly timeout_s: number;
  readonly python: string;
  readonly modules: string;
  readonly cache: string;
  readonly json?: string;
}

/** Bad input; the message says what was expected. */
export class UsageError extends Error {}

/** Memory that programs can still take, in GB of 2^30 bytes. */
export function availableMemory_gb(): number {
  const line = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'));
  return line ? Number(line[1]) / 2 ** 20 : os.freemem() / 2 ** 30;
}

function number(
  name: string,
  text: string,
  { min, max, integer = true }: { min: number; max: number; integer?: boolean },
): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= min && value <= max && (!integer || Number.isInteger(value)))
    return value;
  const kind = integer ? 'integer' : 'number';
  throw new UsageError(`Expected ${kind} between ${min} and ${max} for --${name} but received ${text}`);
}

function sizes(text: string): number[] {
  const list = text.split(',').map(Number);
  if (!list.every((size) => Number.isInteger(size) && size >= 64 && size <= 8192 && size % 16 === 0)) {
    throw new UsageError(`Expected multiples of 16 between 64 and 8192 for --sizes but received ${text}`);
  }
  return [...new Set(list)].sort((a, b) => a - b);
}

function names(text: string): string[] {
  const list = text.split(',');
  const unknown = list.find((name) => !PEER_NAMES.includes(name));
  if (unknown === undefined) return list;
  throw new UsageError(`Expected some of ${PEER_NAMES.join(', ')} for --peers but received ${unknown}`);
}

function folder(name: string, text: string): string {
  if (text !== '') return path.resolve(text);
  throw new UsageError(`Expected path for --${name} but received nothing`);
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        sizes: { type: 'string', default: '1024' },
        model: { type: 'string', default: 'vit-b' },
        peers: { type: 'string', default: PEER_NAMES.join(',') },
        rounds: { type: 'string', default: '3' },
        runs: { type: 'string', default: '3' },
        threads: { type: 'string', default: String(os.availableParallelism()) },
        'memory-gb': { type: 'string' },
        'timeout-s': { type: 'string', default: '1800' },
        python: { type: 'string', default: process.env.BA_SAM_BENCH_PYTHON || 'python3' },
        'node-modules': { type: 'string', default: '.' },
        cache: { type: 'string' },
        json: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/**
 * @param argv what follows the script's name
 * @param root of the repository: where the cache is by default
 * @throws UsageError
 */
export function parseOptions(argv: readonly string[], root: string): PeerOptions {
  const args = parse(argv);
  if (!['vit-b', 'tiny'].includes(args.model)) {
    throw new UsageError(`Expected one of vit-b, tiny for --model but received ${args.model}`);
  }
  if (args.python === '') throw new UsageError('Expected path for --python but received nothing');
  const total_gb = os.totalmem() / 2 ** 30;
  const memory = args['memory-gb'] ?? (0.8 * availableMemory_gb()).toFixed(1);
  return {
    help: args.help,
    sizes: sizes(args.sizes),
    model: args.model,
    peers: names(args.peers),
    rounds: number('rounds', args.rounds, { min: 1, max: 100 }),
    runs: number('runs', args.runs, { min: 1, max: 1000 }),
    threads: number('threads', args.threads, { min: 1, max: 1024 }),
    memory_gb: number('memory-gb', memory, { min: 0.1, max: Math.floor(total_gb * 10) / 10, integer: false }),
    timeout_s: number('timeout-s', args['timeout-s'], { min: 1, max: 86_400 }),
    python: args.python,
    modules: folder('node-modules', args['node-modules']),
    cache: folder('cache', args.cache ?? path.join(root, '.bench-peers')),
    json: args.json === undefined ? undefined : folder('json', args.json),
  };
}
