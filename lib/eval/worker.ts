// A process that evaluates its share of the images: told by its parent what to do, it sends every row back.

import type { Device } from '../device';
import { SamError, type SamErrorCode } from '../errors';
import type { ComputeDType } from '../model/weights';
import type { DatasetName } from '../options/evaluate';
import { Sam } from '../sam';
import { openDataset } from './datasets';
import type { Failure, Row } from './resume';
import { type Plan, RowMaker } from './rows';
import type { Sample } from './types';

/** What a worker needs to know before it begins. */
export interface WorkerTask {
  readonly dataset: DatasetName;
  readonly root: string;
  readonly split?: string;
  readonly model: string;
  readonly device: Device;
  readonly dtype: ComputeDType;
  readonly tf32: boolean;
  readonly f8: boolean;
  readonly plan: Plan;
}

/** From the parent: the task, once; then one image after the other, by id. */
export type ToWorker =
  | { readonly type: 'begin'; readonly task: WorkerTask }
  | {
      readonly type: 'sample';
      readonly id: string;
      readonly index: number;
      readonly cells: readonly number[];
    };

/** From the worker: ready for an image (at first and after each), a row or failure, or the error that ended it. */
export type FromWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'entry'; readonly entry: Row | Failure }
  | { readonly type: 'error'; readonly code?: SamErrorCode; readonly message: string };

class Worker {
  private samples: ReadonlyMap<string, Sample> = new Map();
  private rows: RowMaker | undefined;

  async handle(message: ToWorker): Promise<void> {
    if (message.type === 'begin') await this.begin(message.task);
    else {
      const sample = this.samples.get(message.id);
      if (!sample || !this.rows) {
        throw new SamError(
          'ERR_DATASET',
          `Expected the image ${message.id} but it is gone: the dataset changed meanwhile`,
        );
      }
      await this.rows.run(sample, message.index, message.cells, (entry) => send({ type: 'entry', entry }));
    }
    await send({ type: 'ready' });
  }

  private async begin(task: WorkerTask): Promise<void> {
    const { dataset, root, split, model, device, dtype, tf32, f8, plan } = task;
    const { samples } = await openDataset(dataset, root, { split });
    this.samples = new Map(samples.map((sample) => [sample.id, sample]));
    this.rows = new RowMaker(await Sam.load(model, { device, dtype, tf32, f8 }), plan);
  }
}

// Resolves when the message is on its way, so that rows do not pile up here while the parent is busy.
function send(message: FromWorker): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send!(message, (error: Error | null) => (error ? reject(error) : resolve()));
  });
}

function main(): void {
  const worker = new Worker();
  // Ctrl-C reaches the whole group of processes; the parent decides when its workers end.
  process.on('SIGINT', () => {});
  // The parent is done, or gone.
  process.on('disconnect', () => process.exit());
  process.on('message', (message: ToWorker) => {
    worker.handle(message).catch(async (error: unknown) => {
      const code = error instanceof SamError ? error.code : undefined;
      await send({
        type: 'error',
        code,
        message: error instanceof Error ? error.message : String(error),
      }).catch(() => {});
      process.exit(1);
    });
  });
}

// Importing this file for its types must not wait for messages.
if (require.main === module) main();
