// A process that evaluates its share of the images: told by its parent what to do, it sends every row back.
import type { Device } from '../device';
import { SamError } from '../errors';
import type { ComputeDType } from '../model/weights';
import type { CheckpointOptions } from '../options/checkpoint';
import type { DatasetName, ExifUse } from '../options/evaluate';
import { type Protocol, serve } from '../runtime/process-worker';
import { Sam } from '../sam';
import { openDataset } from './datasets';
import type { EvaluationRow, Failure } from './journal-entries';
import { type Procedure, RowMaker } from './rows';

/** What a worker needs to know before it begins. */
export interface WorkerSetup {
  readonly dataset: DatasetName;
  readonly root: string;
  readonly split?: string;
  readonly exif: ExifUse;
  readonly limitInputPixels?: number;
  readonly model: string;
  readonly device: Device;
  readonly dtype: ComputeDType;
  readonly tf32: boolean;
  readonly f8: boolean;
  readonly checkpoint: CheckpointOptions;
  readonly procedure: Procedure;
}

/** One image to do. */
export interface Job {
  readonly id: string;
  readonly index: number;
  /** Indices of the cells that are wanted. */
  readonly cells: readonly number[];
}

/** Images are named by id; every row, or failure, is a note. */
export interface EvaluationProtocol extends Protocol {
  readonly setup: WorkerSetup;
  readonly job: Job;
  readonly note: EvaluationRow | Failure;
  readonly result: undefined;
}

serve<EvaluationProtocol>(
  async ({ dataset, root, split, exif, limitInputPixels, model, checkpoint, procedure, ...compute }) => {
    const opened = await openDataset(dataset, root, { split, exif, limitInputPixels });
    const samples = new Map(opened.samples.map((sample) => [sample.id, sample]));
    const rows = new RowMaker(await Sam.load(model, { ...compute, ...checkpoint }), procedure, model);
    return async ({ id, index, cells }, note) => {
      const sample = samples.get(id);
      if (!sample) {
        throw new SamError(
          'ERR_DATASET',
          `Expected the image ${id} but it is gone: the dataset changed meanwhile`,
        );
      }
      await rows.run(sample, index, cells, note);
      return undefined;
    };
  },
);
