// Types of options.mjs for its tests.
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
export class UsageError extends Error {}
export function availableMemory_gb(): number;
export function parseOptions(argv: readonly string[], root: string): PeerOptions;
