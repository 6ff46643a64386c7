// Types of turn.mjs for its tests.
export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
}
export interface Limits {
  readonly memory_gb: number;
  readonly timeout_s: number;
  readonly signal?: AbortSignal;
}
export interface Turn {
  readonly code: number | null;
  readonly signal: string | null;
  readonly error?: NodeJS.ErrnoException;
  readonly ended?: 'memory' | 'time' | 'interrupted' | 'system';
  readonly peak_gb: number;
  readonly seconds: number;
  readonly stdout: string;
  readonly stderr: string;
}
export function residentBytes(pid: number): number;
export function runTurn(command: Command, limits: Limits, onLine?: (line: string) => void): Promise<Turn>;
