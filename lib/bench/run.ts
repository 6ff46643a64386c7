// Measures rows, each in a process of its own, so that peaks of memory are the row's own and one that is killed costs no
// other.
import path from 'node:path';
import { ProcessFailure, runProcesses } from '../runtime/process-pool';
import { describeCase, identify } from './cases';
import type { RowProtocol, RowTask } from './row';

/** A row of a result: the columns that name it, then what was measured, or `failed` with the reason. */
export type BenchmarkRow = Readonly<Record<string, unknown>> & { readonly failed?: string };

/**
 * Measures one row.
 *
 * @throws the signal's reason; the process has ended by then
 */
export async function measureRow(task: RowTask, signal?: AbortSignal): Promise<BenchmarkRow> {
  const columns = identify(task.case, task.device);
  try {
    const [measured] = await runProcesses<RowProtocol>({
      module: path.join(__dirname, 'row.js'),
      // What one phase leaves behind must not count as the next one's memory.
      execArgv: ['--expose-gc'],
      count: 1,
      jobs: [task],
      setup: () => undefined,
      name: () => 'The process of a row',
      doing: () => `it measured ${describeCase(task.case)}`,
      signal,
    });
    return { ...columns, ...measured };
  } catch (error) {
    if (!(error instanceof ProcessFailure)) throw error;
    const { how, said, signal: killer } = error;
    const why = killer === 'SIGKILL' ? ', as when memory runs out' : '';
    return { ...columns, failed: `its process ${how}${why}${said && `: ${said}`}` };
  }
}
