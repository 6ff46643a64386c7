// Several processes that share the images of an evaluation.
import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { Device } from '../device';
import { SamError } from '../errors';
import type { Failure, Row } from './resume';
import type { FromWorker, ToWorker, WorkerTask } from './worker';

/** One image to do. */
export interface Job {
  readonly id: string;
  readonly index: number;
  /** Indices of the cells that are wanted. */
  readonly cells: readonly number[];
}

export interface WorkersOptions {
  readonly count: number;
  /** Taken in turn. */
  readonly devices: readonly Device[];
  readonly task: Omit<WorkerTask, 'device'>;
  readonly jobs: readonly Job[];
  /** Gets every row or failure; the next one of a worker waits for nothing. */
  readonly onEntry: (entry: Row | Failure) => Promise<void>;
  readonly signal?: AbortSignal;
}

const ERROR_TAIL = 2000;

/**
 * Runs jobs in processes of their own: whoever is free takes the next. On CPUs the processors are shared out through
 * BA_SAM_THREADS.
 *
 * @throws SamError what a worker could not do, or that it ended, with its name; all others are ended then. The signal's
 *   reason
 */
export async function runWorkers(options: WorkersOptions): Promise<void> {
  const { jobs, signal, devices, task, onEntry } = options;
  const count = Math.min(options.count, jobs.length);
  const queue = [...jobs].reverse();
  const env = { ...process.env, BA_SAM_THREADS: String(threadsPerWorker(count)) };
  const workers: WorkerProcess[] = [];
  try {
    signal?.throwIfAborted();
    const work = Array.from({ length: count }, (_, i) => {
      const device = devices[i % devices.length]!;
      const worker = new WorkerProcess(`Worker ${i + 1} of ${count} (${device})`, env);
      workers.push(worker);
      return worker.run({ ...task, device }, () => queue.pop(), onEntry);
    });
    const all = Promise.all(work);
    await (signal ? Promise.race([all, aborted(signal)]) : all);
  } finally {
    await Promise.all(workers.map((worker) => worker.end()));
  }
}

/**
 * Threads of each of `workers` processes.
 *
 * @param total of all of them; default BA_SAM_THREADS, or the processors that this process may use
 */
export function threadsPerWorker(
  workers: number,
  total: number = Number(process.env.BA_SAM_THREADS) || availableParallelism(),
): number {
  return Math.max(1, Math.floor(total / workers));
}

class WorkerProcess {
  private readonly child: ChildProcess;
  private readonly exited: Promise<void>;
  private doing = 'it was starting';
  private errors = '';

  constructor(
    private readonly name: string,
    env: NodeJS.ProcessEnv,
  ) {
    this.child = fork(path.join(__dirname, 'worker.js'), {
      env,
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.exited = new Promise((resolve) => this.child.once('exit', () => resolve()));
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.errors = (this.errors + text).slice(-ERROR_TAIL);
    });
  }

  /** Resolves when there is no job left and all rows are handed over. */
  run(
    task: WorkerTask,
    next: () => Job | undefined,
    onEntry: (entry: Row | Failure) => Promise<void>,
  ): Promise<void> {
    const { child } = this;
    return new Promise((resolve, reject) => {
      // Rows of before the worker's end count: the promise of the last one comes before any error.
      let saved: Promise<void> = Promise.resolve();
      const fail = (error: Error) => {
        saved.then(() => reject(error), reject);
      };
      const send = (message: ToWorker) => {
        // An error here means that the process is gone, which its exit tells better.
        child.send(message, () => {});
      };
      child.on('message', (message: FromWorker) => {
        if (message.type === 'entry') {
          saved = saved.then(() => onEntry(message.entry));
          saved.catch(reject);
        } else if (message.type === 'error') {
          fail(new SamError(message.code ?? 'ERR_INTERNAL', `${this.name}: ${message.message}`));
        } else {
          const job = next();
          if (!job) {
            saved.then(resolve, reject);
            return;
          }
          this.doing = `it evaluated ${job.id}`;
          send({ type: 'sample', ...job });
        }
      });
      child.once('error', (cause) => {
        fail(new SamError('ERR_INTERNAL', `${this.name} could not be started: ${cause.message}`, { cause }));
      });
      // Not 'exit': what the worker wrote and sent before its end is read by then.
      child.once('close', (code, signal) => {
        const how = signal ? `was ended by ${signal}` : `ended with status ${code}`;
        const said = this.errors.trim().split('\n').at(-1);
        fail(
          new SamError('ERR_INTERNAL', `${this.name} ${how} while ${this.doing}${said ? `: ${said}` : ''}`),
        );
      });
      send({ type: 'begin', task });
    });
  }

  /** Ends the process, whatever it does. */
  async end(): Promise<void> {
    const { child } = this;
    if (child.pid === undefined) return;
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await this.exited;
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
