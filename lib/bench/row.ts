// A process that measures one row and sends it to its parent.
import { type Protocol, serve } from '../runtime/process-worker';
import { measureAttention } from './attention';
import type { BenchmarkCase } from './cases';
import type { RowConditions } from './conditions';
import { measureDecoder } from './decoder';
import { measureEncoder } from './encoder';
import { measureEventLoop } from './event-loop';

export interface RowTask {
  readonly case: BenchmarkCase;
  readonly conditions: RowConditions;
  /** Of the device, for the row. */
  readonly device: string;
}

/** The result is what was measured, or why there is nothing: a row that fails is a result, too. */
export interface RowProtocol extends Protocol {
  readonly setup: undefined;
  readonly job: RowTask;
  readonly note: never;
  readonly result: object | { readonly failed: string };
}

async function measure({ case: one, conditions }: RowTask): Promise<object> {
  if (one.benchmark === 'attention') return measureAttention(one.of, conditions);
  if (one.benchmark === 'encoder') return measureEncoder(one.of, conditions);
  if (one.benchmark === 'event-loop') return measureEventLoop(one.of, conditions);
  return measureDecoder(one.of, conditions);
}

serve<RowProtocol>(async () => async (task) => {
  try {
    return await measure(task);
  } catch (error) {
    return { failed: error instanceof Error ? error.message : String(error) };
  }
});
