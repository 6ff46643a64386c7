// One child process under watch: its memory, with all its descendants, its time, and the user's Ctrl-C.
//
// Not one of the processes of lib/runtime, whose parent and children share modules and a channel of messages: a peer may be a
// Python program. What all peers have in common is a command line, a line of JSON on stdout, and that they are ended, with what
// they started, when they grow too large.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const SAMPLE_MS = 100;
const KEPT_CHARACTERS = 64 * 1024;

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // the process has ended
  }
}

/** Resident memory of a process and its descendants, in bytes; shared pages count in each. 0 when it has ended. */
export function residentBytes(pid) {
  let bytes = 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
  let threads = [];
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
function oomKills() {
  return Number(/^oom_kill (\d+)$/m.exec(read('/proc/vmstat'))?.[1] ?? 0);
}

/**
 * Runs a command to its end, or ends it with everything it started.
 *
 * @param command what to run: { command, args, env }
 * @param limits { memory_gb, timeout_s, signal }: an AbortSignal ends the child, too
 * @param onLine gets lines of stdout as they come
 * @returns {Promise<object>} { code, signal, error, ended, peak_gb, seconds, stdout, stderr }: `ended` says why the child was ended
 *   from outside ('memory', 'time', 'interrupted', or 'system' when the system ran out of memory), `error` why it did not
 *   start; of stdout and stderr the last 64 K characters are kept
 */
export function runTurn({ command, args, env }, { memory_gb, timeout_s, signal }, onLine) {
  return new Promise((resolve) => {
    const began = performance.now();
    const killsBefore = oomKills();
    const output = { stdout: '', stderr: '' };
    let ended = signal?.aborted ? 'interrupted' : undefined;
    let error;
    let peak = 0;
    // A process group of its own, so that all of it can be ended at once.
    const child = spawn(command, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const end = (why) => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      ended ??= why;
      try {
        process.kill(-child.pid, 'SIGKILL'); // at once: what grows must not go on growing
      } catch {
        // It was faster.
      }
    };
    const sample = () => {
      const bytes = residentBytes(child.pid);
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
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8');
      child[name].on('data', (text) => {
        output[name] = (output[name] + text).slice(-KEPT_CHARACTERS);
        if (name === 'stderr' || !onLine) return;
        const lines = (line + text).split('\n');
        line = lines.pop();
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
