// Measures rows, each in a process of its own, so that peaks of memory are the row's own and one that is killed costs no
// other.
import { type ChildProcess, fork } from 'node:child_process';
import path from 'node:path';
import { unlessAborted } from '../abort';
import { identify } from './cases';
import type { RowMessage, RowTask } from './row';

/** A row of a result: the columns that name it, then what was measured, or `failed` with the reason. */
export type Row = Readonly<Record<string, unknown>> & { readonly failed?: string };

const ERROR_TAIL = 2000;

/**
 * Measures one row.
 *
 * @throws the signal's reason; the process has ended by then
 */
export async function measureRow(task: RowTask, signal?: AbortSignal): Promise<Row> {
  signal?.throwIfAborted();
  const child = fork(path.join(__dirname, 'row.js'), {
    // What one phase leaves behind must not count as the next one's memory.
    execArgv: ['--expose-gc'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  try {
    const message = await unlessAborted(answerOf(child, task), signal);
    return typeof message === 'string'
      ? { ...identify(task.case, task.device), failed: message }
      : message.type === 'row'
        ? message.row
        : { ...identify(task.case, task.device), failed: message.message };
  } finally {
    if (child.pid !== undefined) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await exited;
    }
  }
}

/** What the process said, or how it ended without a word. */
function answerOf(child: ChildProcess, task: RowTask): Promise<RowMessage | string> {
  let errors = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-ERROR_TAIL);
  });
  return new Promise((resolve) => {
    child.once('message', (message: RowMessage) => resolve(message));
    child.once('error', (error) => resolve(`its process could not be started: ${error.message}`));
    // Not 'exit': what the process wrote and sent before its end is read by then.
    child.once('close', (status, signal) => {
      const how = signal
        ? `its process was ended by ${signal}${signal === 'SIGKILL' ? ', as when memory runs out' : ''}`
        : `its process ended with status ${status}`;
      const said = errors.trim().split('\n').at(-1);
      resolve(said ? `${how}: ${said}` : how);
    });
    // An error here means that the process is gone, which its end tells better.
    child.send(task, () => {});
  });
}
