// One child process under watch: its memory, with all its descendants, its time, and the user's Ctrl-C.
//
// Not one of the processes of lib/runtime, whose parent and children share modules and a channel of messages: a peer may be a
// Python program. What all peers have in common is a command line, a line of JSON on stdout, and that they are ended, with what
// they started, when they grow too large.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** What to run. */
export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** When a child is ended. */
export interface Limits {
  readonly memory_gb: number;
  readonly timeout_s: number;
  /** Aborting ends the child, too. */
  readonly signal?: AbortSignal;
}

/** What came of a child. */
export interface Turn {
  readonly code: number | null;
  readonly signal: string | null;
  /** Why it did not start. */
  readonly error?: NodeJS.ErrnoException;
  /** Why it was ended from outside; `system`: the system ran out of memory. */
  readonly ended?: 'memory' | 'time' | 'interrupted' | 'system';
  readonly peak_gb: number;
  readonly seconds: number;
  /** The last 64 K characters. */
  readonly stdout: string;
  readonly stderr: string;
}

const SAMPLE_MS = 100;
const KEPT_CHARACTERS = 64 * 1024;

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // the process has ended
  }
}

/** Resident memory of a process and its descendants, in bytes; shared pages count in each. 0 when it has ended. */
export function residentBytes(pid: number): number {
  let bytes = 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
  let threads: string[] = [];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    // Ended meanwhile.
  }
  for (const thread of threads) {
    const children = read(`/proc/${pid}/task/${thread}/children`).trim();
    for (const child of children === '' ? [] : children.split(' ')) bytes += residentBytes(Number(child));
  }
  return bytes;
}

/** How many processes this system has killed for want of memory. */
function oomKills(): number {
  return Number(/^oom_kill (\d+)$/m.exec(read('/proc/vmstat'))?.[1] ?? 0);
}

/**
 * Runs a command to its end, or ends it with everything it started. Never rejects.
 *
 * @param onLine gets lines of stdout as they come
 */
export function runTurn(
  { command, args, env }: Command,
  { memory_gb, timeout_s, signal }: Limits,
  onLine?: (line: string) => void,
): Promise<Turn> {
  return new Promise((resolve) => {
    const began = performance.now();
    const killsBefore = oomKills();
    const output = { stdout: '', stderr: '' };
    let ended: Turn['ended'] = signal?.aborted ? 'interrupted' : undefined;
    let error: NodeJS.ErrnoException | undefined;
    let peak = 0;
    // A process group of its own, so that all of it can be ended at once.
    const child = spawn(command, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const end = (why: Turn['ended']) => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      ended ??= why;
      try {
        process.kill(-child.pid, 'SIGKILL'); // at once: what grows must not go on growing
      } catch {
        // It was faster.
      }
    };
    const sample = () => {
      const bytes = child.pid === undefined ? 0 : residentBytes(child.pid);
      peak = Math.max(peak, bytes);
      if (bytes > memory_gb * 2 ** 30) end('memory');
      else if (performance.now() - began > timeout_s * 1000) end('time');
    };
    const timer = setInterval(sample, SAMPLE_MS);
    const onAbort = () => end('interrupted');
    signal?.addEventListener('abort', onAbort);
    if (ended) end(ended);
    child.on('error', (cause) => {
      error = cause;
    });
    if (child.pid !== undefined) {
      try {
        // Whatever happens between two samples, the system takes this process first.
        writeFileSync(`/proc/${child.pid}/oom_score_adj`, '1000');
      } catch {
        // Ended already.
      }
    }
    let line = '';
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] = (output[name] + text).slice(-KEPT_CHARACTERS);
        if (name === 'stderr' || !onLine) return;
        const lines = (line + text).split('\n');
        line = lines.pop() ?? '';
        for (const each of lines) onLine(each);
      });
    }
    child.on('close', (code, killedBy) => {
      clearInterval(timer);
      signal?.removeEventListener('abort', onAbort);
      if (killedBy === 'SIGKILL' && oomKills() > killsBefore) ended ??= 'system';
      const seconds = (performance.now() - began) / 1000;
      resolve({ code, signal: killedBy, error, ended, peak_gb: peak / 2 ** 30, seconds, ...output });
    });
  });
}
