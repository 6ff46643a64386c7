// Child processes that share a list of jobs: evaluation spreads images over them, a benchmark measures each row in one of
// its own, the study under bench/ draws its scenes on every core. None outlives its parent.
import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { unlessAborted } from '../abort';
import { SamError } from '../errors';
import type { FromWorker, Protocol, ToWorker } from './process-worker';

export interface ProcessesOptions<P extends Protocol> {
  /** Path of the module that each process runs; it calls `serve`. */
  readonly module: string;
  /** Processes, at least 1; there are never more than jobs. */
  readonly count: number;
  readonly jobs: readonly P['job'][];
  /** What a process is told first. */
  readonly setup: (index: number) => P['setup'];
  /** What errors call a process: `Worker 1 of 2`. */
  readonly name: (index: number, count: number) => string;
  /** What errors say that a process did: `it evaluated p1`. */
  readonly doing: (job: P['job']) => string;
  readonly env?: NodeJS.ProcessEnv;
  /** Options of Node.js for the processes; default none, whatever this one has. */
  readonly execArgv?: readonly string[];
  /** Gets notes of all processes as they come; a job is done when those before its end are dealt with. */
  readonly onNote?: (note: P['note']) => Promise<void> | void;
  readonly signal?: AbortSignal;
}

/** A process that ended before its work did, or never began. */
export class ProcessFailure extends SamError {
  constructor(
    name: string,
    /** `was ended by SIGKILL`, `ended with status 1`, `could not be started: …` */
    readonly how: string,
    doing: string,
    /** The last line that it wrote to stderr, or nothing. */
    readonly said: string,
    /** What killed it, if anything did. */
    readonly signal: NodeJS.Signals | null,
  ) {
    super('ERR_INTERNAL', `${name} ${how} while ${doing}${said && `: ${said}`}`);
  }
}

const ERROR_TAIL = 2000;

/**
 * Runs jobs in processes of their own: whoever is free takes the next. When this returns or throws, all of them have
 * ended.
 *
 * @returns the results, in the order of the jobs
 * @throws ProcessFailure (ERR_INTERNAL) for a process that ended; SamError with a worker's own code and message, behind the
 *   process's name; what `onNote` threw; the signal's reason
 */
export async function runProcesses<P extends Protocol>(options: ProcessesOptions<P>): Promise<P['result'][]> {
  const { jobs, signal, onNote } = options;
  signal?.throwIfAborted();
  const count = Math.min(options.count, jobs.length);
  const queue = jobs.entries();
  const results = new Array<P['result']>(jobs.length);
  const processes: WorkerProcess<P>[] = [];
  try {
    const work = Array.from({ length: count }, async (_, i) => {
      const worker = new WorkerProcess<P>(options.name(i, count), options);
      processes.push(worker);
      await worker.ask({ type: 'setup', setup: options.setup(i) }, 'it was starting', onNote);
      for (const [index, job] of queue) {
        results[index] = await worker.ask({ type: 'job', job }, options.doing(job), onNote);
      }
    });
    await unlessAborted(Promise.all(work), signal);
    return results;
  } finally {
    await Promise.all(processes.map((worker) => worker.end()));
  }
}

/**
 * Threads of each of `count` processes that share the processors.
 *
 * @param total of all of them; default BA_SAM_THREADS, or the processors that this process may use
 */
export function threadsPerProcess(
  count: number,
  total: number = Number(process.env.BA_SAM_THREADS) || availableParallelism(),
): number {
  return Math.max(1, Math.floor(total / count));
}

class WorkerProcess<P extends Protocol> {
  private readonly child: ChildProcess;
  private readonly exited: Promise<void>;
  /** How it ended, or failed to start; null as long as it lives. */
  private ending: { readonly how: string; readonly signal: NodeJS.Signals | null } | null = null;
  private onEnd = () => {};
  private errors = '';

  constructor(
    private readonly name: string,
    { module, env, execArgv = [] }: Pick<ProcessesOptions<P>, 'module' | 'env' | 'execArgv'>,
  ) {
    this.child = fork(module, {
      // A group of its own: Ctrl-C in a terminal is for the parent, which decides when its workers end. One that has
      // just started could not ignore it yet.
      detached: true,
      env,
      execArgv: [...execArgv],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.exited = new Promise((resolve) => this.child.once('exit', () => resolve()));
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.errors = (this.errors + text).slice(-ERROR_TAIL);
    });
    const ended = (how: string, signal: NodeJS.Signals | null) => {
      this.ending ??= { how, signal };
      this.onEnd();
    };
    this.child.once('error', (cause) => ended(`could not be started: ${cause.message}`, null));
    // Not 'exit': what the process wrote and sent before its end is read by then.
    this.child.once('close', (status, signal) => {
      ended(signal ? `was ended by ${signal}` : `ended with status ${status}`, signal);
    });
  }

  /** Resolves with the answer when all notes before it are dealt with; they come before any error, too. */
  ask(message: ToWorker<P>, doing: string, onNote: ProcessesOptions<P>['onNote']): Promise<P['result']> {
    const { child, name } = this;
    return new Promise<P['result']>((resolve, reject) => {
      let noted: Promise<void> = Promise.resolve();
      const settle = (how: () => void) => void noted.then(how, reject);
      const fail = (error: Error) => settle(() => reject(error));
      const onMessage = (answer: FromWorker<P>) => {
        if (answer.type === 'note') {
          noted = noted.then(() => onNote?.(answer.note));
          noted.catch(reject);
          return;
        }
        child.off('message', onMessage);
        if (answer.type === 'error') {
          fail(new SamError(answer.code ?? 'ERR_INTERNAL', `${name}: ${answer.message}`));
        } else settle(() => resolve(answer.type === 'done' ? answer.result : undefined));
      };
      this.onEnd = () => {
        const { how, signal } = this.ending!;
        const said = this.errors.trim().split('\n').at(-1)!;
        fail(new ProcessFailure(name, how, doing, said, signal));
      };
      child.on('message', onMessage);
      if (this.ending) this.onEnd();
      // An error here means that the process is gone, which its end tells better.
      else child.send(message, () => {});
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
