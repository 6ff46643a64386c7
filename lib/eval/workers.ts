// Several processes that share the images of an evaluation.
import path from 'node:path';
import type { Device } from '../device';
import { runProcesses, threadsPerProcess } from '../runtime/process-pool';
import type { EvaluationRow, Failure } from './journal-entries';
import type { EvaluationProtocol, Job, WorkerSetup } from './worker';

export interface WorkersOptions {
  readonly count: number;
  /** Taken in turn. */
  readonly devices: readonly Device[];
  readonly setup: Omit<WorkerSetup, 'device'>;
  readonly jobs: readonly Job[];
  /** Gets every row or failure; the next one of a worker waits for nothing. */
  readonly onEntry: (entry: EvaluationRow | Failure) => Promise<void>;
  readonly signal?: AbortSignal;
}

/**
 * Runs jobs in processes of their own. On CPUs the processors are shared out through BA_SAM_THREADS.
 *
 * @throws SamError what a worker could not do, or that it ended, with its name; all others are ended then. The signal's
 *   reason
 */
export async function runWorkers({ devices, setup, onEntry, ...options }: WorkersOptions): Promise<void> {
  const deviceOf = (index: number) => devices[index % devices.length]!;
  const threads = threadsPerProcess(Math.min(options.count, options.jobs.length));
  await runProcesses<EvaluationProtocol>({
    ...options,
    module: path.join(__dirname, 'worker.js'),
    env: { ...process.env, BA_SAM_THREADS: String(threads) },
    name: (index, count) => `Worker ${index + 1} of ${count} (${deviceOf(index)})`,
    doing: ({ id }) => `it evaluated ${id}`,
    setup: (index) => ({ ...setup, device: deviceOf(index) }),
    onNote: onEntry,
  });
}
