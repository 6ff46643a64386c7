// A process that measures one row and sends it to its parent.
import { SamError, type SamErrorCode } from '../errors';
import { measureAttention } from './attention';
import { type BenchmarkCase, identify } from './cases';
import type { RowConditions } from './conditions';
import { measureDecoder } from './decoder';
import { measureEncoder } from './encoder';

/** From the parent, once. */
export interface RowTask {
  readonly case: BenchmarkCase;
  readonly conditions: RowConditions;
  /** Of the device, for the row. */
  readonly device: string;
}

/** To the parent, once: the row, or why there is none. */
export type RowMessage =
  | { readonly type: 'row'; readonly row: Readonly<Record<string, unknown>> }
  | { readonly type: 'error'; readonly code?: SamErrorCode; readonly message: string };

async function measure({ case: one, conditions }: RowTask): Promise<object> {
  if (one.benchmark === 'attention') return measureAttention(one.of, conditions);
  if (one.benchmark === 'encoder') return measureEncoder(one.of, conditions);
  return measureDecoder(one.of, conditions);
}

async function answer(task: RowTask): Promise<RowMessage> {
  try {
    return { type: 'row', row: { ...identify(task.case, task.device), ...(await measure(task)) } };
  } catch (error) {
    const code = error instanceof SamError ? error.code : undefined;
    return { type: 'error', code, message: error instanceof Error ? error.message : String(error) };
  }
}

function main(): void {
  // Ctrl-C reaches the whole group of processes; the parent decides when its rows end.
  process.on('SIGINT', () => {});
  // The parent is done, or gone.
  process.on('disconnect', () => process.exit());
  process.once('message', (task: RowTask) => {
    void answer(task).then((message) => process.send!(message));
  });
}

// Importing this file for its types must not wait for messages.
if (require.main === module) main();
