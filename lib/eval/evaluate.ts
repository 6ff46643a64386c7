// Evaluates a model on a dataset, at several sizes and with several attention settings: everything is checked first, then
// images are worked through, and at the end the journal's rows become results.
import { createHash } from 'node:crypto';
import path from 'node:path';
import { deviceName, resolveCompute } from '../device';
import { SamError } from '../errors';
import { native } from '../native';
import { checkpointOf } from '../options/checkpoint';
import {
  type CheckedOptions,
  type DatasetName,
  EVALUATION_METRICS,
  type EvaluateOptions,
  type EvaluationMetric,
  type PromptKind,
} from '../options/evaluate';
import { Sam } from '../sam';
import { openDataset } from './datasets';
import { Journal } from './journal';
import type { EvaluationRow, Failure, Fingerprint } from './journal-entries';
import { FolderLock } from './lock';
import { modelConfig, modelHash } from './model';
import { checkOptions } from './options';
import { needsTruth } from './prompts';
import { checkFolder, type EvaluationResult, RESULT_FILES, summarize, VERSION, writeReport } from './report';
import { type Procedure, RowMaker } from './rows';
import { cellsOf, checkCells } from './settings';
import { defaultMetrics, type MetricChoice } from './tally';
import type { Dataset, Sample } from './types';
import type { Job } from './worker';
import { runWorkers } from './workers';

const JOURNAL = 'journal.jsonl';

/** Where the journal of an evaluation is. */
export function journalPath(out: string): string {
  return path.join(out, JOURNAL);
}

/** An evaluation that nothing speaks against; nothing is written yet. */
export interface PreparedEvaluation {
  readonly options: CheckedOptions;
  readonly dataset: Dataset;
  /** Those of the dataset that are evaluated. */
  readonly samples: readonly Sample[];
  readonly procedure: Procedure;
  /** What the results say about how they came about, and what a resumed run is compared by. */
  readonly fingerprint: Fingerprint;
  readonly journal: string;
}

/**
 * Evaluates a model on a dataset and writes `results.json`, `results.md`, `chart.svg` and `chart.png` to `out`.
 * Finished rows are kept in `out/journal.jsonl`; with `resume` they are not computed again, and the results are the same
 * to the bit as those of an evaluation that was never interrupted, or that had another number of workers.
 *
 * @throws SamError ERR_INVALID_ARGUMENT, ERR_DATASET, ERR_IO, ERR_CHECKPOINT, ERR_DEVICE_UNAVAILABLE before any work;
 *   ERR_OUT_OF_MEMORY and others of `Sam`; ERR_INTERNAL when a worker process ended; the signal's reason
 */
export async function evaluate(options: EvaluateOptions): Promise<EvaluationResult> {
  return runEvaluation(await prepareEvaluation(options));
}

/**
 * Checks everything that can be checked without the weights: options, model, dataset, output folder, journal.
 *
 * @throws SamError as {@link evaluate} before any work
 */
export async function prepareEvaluation(given: EvaluateOptions): Promise<PreparedEvaluation> {
  const options = checkOptions(given);
  const { out, resume, distance, dtype, tf32, f8 } = options;
  const compute = options.device.map((device) => resolveCompute({ device, dtype, tf32, f8 }));
  const config = await modelConfig(options.model, checkpointOf(options));
  const cells = cellsOf(options.sizes ?? [config.trainedSide_px], options.attention);
  checkCells(cells, config, distance);
  await checkFolder(out, RESULT_FILES);

  const dataset = await openOrTake(options);
  const samples = dataset.samples.slice(0, options.limit);
  const instances = samples.some((sample) => sample.instances !== undefined);
  const metrics: MetricChoice = {
    names: inOrder(options.metrics ?? defaultMetrics(instances, options.dataset === 'dis5k')),
    normalize: options.normalize,
    averageF: options.averageF,
  };
  checkFit(dataset, instances, options.prompt, metrics);
  const { pad, prompt, grid, combine, multimask } = options;
  const procedure: Procedure = { cells, distance, pad, prompt, grid, combine, multimask, metrics };

  const kinds = new Set(compute.map(({ device }) => device.kind));
  const device =
    kinds.size === 1 && kinds.has('cpu') ? cpuName() : deviceName(compute[0]!.device).split(':')[0]!;
  const fingerprint: Fingerprint = {
    version: VERSION,
    dataset: dataset.name,
    root: path.resolve(dataset.root),
    split: options.split ?? null,
    exif: samples[0]?.exif ?? options.exif,
    images: samples.length,
    imageList: createHash('sha256')
      .update(JSON.stringify(samples.map(({ id }) => id)))
      .digest('hex'),
    model: await modelHash(options.model),
    device,
    dtype: `${tf32 ? 'tf32' : dtype}${f8 ? ' with f8' : ''}`,
    // Absent without the option, as in journals from before there was one.
    globalBlocks: options.globalBlocks && [...options.globalBlocks].sort((a, b) => a - b),
    sizes: [...new Set(cells.map(({ size }) => size))],
    attention: options.attention,
    distance: options.attention.includes('length-scale+distance') ? distance : null,
    pad,
    prompt,
    grid: prompt === 'grid' ? { points: grid, combine } : null,
    multimask,
    metrics,
  };
  const journal = journalPath(out);
  try {
    await checkResume(journal, options);
  } catch (error) {
    // That somebody is at work there says more than that there is a journal.
    if (await Journal.exists(journal)) await (await FolderLock.acquire(out))[Symbol.asyncDispose]();
    throw error;
  }
  if (resume) await Journal.check(journal, fingerprint);
  return { options, dataset, samples, procedure, fingerprint, journal };
}

/**
 * Runs what was prepared.
 *
 * @throws SamError, the signal's reason; see {@link evaluate}
 */
export async function runEvaluation(prepared: PreparedEvaluation): Promise<EvaluationResult> {
  const { options } = prepared;
  const lock = await FolderLock.acquire(options.out);
  try {
    return await runLocked(prepared);
  } finally {
    await lock[Symbol.asyncDispose]();
  }
}

async function runLocked(prepared: PreparedEvaluation): Promise<EvaluationResult> {
  const { options, samples, fingerprint, procedure } = prepared;
  const cells = procedure.cells.length;
  // Another evaluation may have come and gone since this one was prepared.
  await checkResume(prepared.journal, options);
  const begin = options.resume ? Journal.resume : Journal.create;
  const journal = await begin(prepared.journal, fingerprint, samples.length, cells);
  let done = false;
  try {
    const jobs = openJobs(samples, cells, journal, options.strict);
    if (jobs.length > 0) await work(prepared, jobs, journal);
    const summary = await summarize(prepared, journal);
    await writeReport(prepared, journal, summary);
    done = true;
    return summary;
  } finally {
    // What failed before its first row may be tried again as if it had never been.
    await journal.close(!done && !options.resume && journal.isEmpty);
  }
}

// Whether there is a journal must be what was asked for.
async function checkResume(journal: string, { resume, out }: CheckedOptions): Promise<void> {
  if ((await Journal.exists(journal)) === resume) return;
  throw new SamError(
    'ERR_INVALID_ARGUMENT',
    resume
      ? `Expected an evaluation to resume in ${out} but there is no ${JOURNAL}`
      : `Expected a folder without an evaluation for out but ${journal} exists: resume it, or choose another folder`,
  );
}

async function openOrTake(options: CheckedOptions): Promise<Dataset> {
  const { dataset, root, split, strict, exif, limitInputPixels } = options;
  const opened =
    typeof dataset === 'string'
      ? await openDataset(dataset, root!, { split, strict, exif, limitInputPixels })
      : dataset;
  if (opened.samples.length === 0) {
    const [first] = opened.problems;
    const why = first
      ? `; ${opened.problems.length} could not be used, first ${first.id}: ${first.reason}`
      : '';
    throw new SamError(
      'ERR_DATASET',
      `${opened.root}: expected images of ${opened.name} but found none${why}`,
    );
  }
  return opened;
}

// The order that they were asked for in means nothing, and must not keep an evaluation from being resumed.
function inOrder(names: readonly EvaluationMetric[]): EvaluationMetric[] {
  return EVALUATION_METRICS.filter((name) => names.includes(name));
}

// What is asked for must make sense for what the dataset has: instances, or masks of whole images.
function checkFit({ name }: Dataset, instances: boolean, prompt: PromptKind, { names }: MetricChoice): void {
  if (instances && !needsTruth(prompt)) {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected gt-box or gt-point for prompt but received ${prompt}: ${name} has instances, and each is asked for`,
    );
  }
  if (!instances && names.includes('ap')) {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected metrics on masks but received ap: ${name} has no instances`,
    );
  }
}

// The instruction set matters for the last bits of f32, the number of threads does not.
function cpuName(): string {
  return `cpu ${native().info().isa}`;
}

function openJobs(samples: readonly Sample[], cells: number, journal: Journal, strict: boolean): Job[] {
  const jobs: Job[] = [];
  for (const [index, { id }] of samples.entries()) {
    const reason = journal.failure(index);
    if (reason !== undefined && strict) throw new SamError('ERR_DATASET', `${id}: ${reason}`);
    if (reason !== undefined) continue;
    const open = Array.from({ length: cells }, (_, cell) => cell).filter((cell) => !journal.has(index, cell));
    if (open.length > 0) jobs.push({ id, index, cells: open });
  }
  return jobs;
}

async function work(prepared: PreparedEvaluation, jobs: readonly Job[], journal: Journal): Promise<void> {
  const { options, procedure, samples } = prepared;
  const { model, dtype, tf32, f8, signal, strict, workers } = options;
  const resumed = journal.rows;
  let done = resumed;
  let total = resumed + jobs.reduce((sum, job) => sum + job.cells.length, 0);
  const report = () => options.onProgress?.({ done, total, resumed });
  const onEntry = async (entry: EvaluationRow | Failure): Promise<void> => {
    if ('reason' in entry) {
      if (strict) {
        throw new SamError('ERR_DATASET', `${samples[entry.sample]!.id}: ${entry.reason}`);
      }
      total -= jobs.find((job) => job.index === entry.sample)!.cells.length;
    } else done++;
    await journal.append(entry);
    report();
  };

  report();
  if (workers > 1) {
    const setup = {
      dataset: options.dataset as DatasetName,
      root: options.root!,
      split: options.split,
      exif: options.exif,
      limitInputPixels: options.limitInputPixels,
      model,
      dtype,
      tf32,
      f8,
      checkpoint: checkpointOf(options),
      procedure,
    };
    await runWorkers({ count: workers, devices: options.device, setup, jobs, onEntry, signal });
    return;
  }
  const compute = { device: options.device[0]!, dtype, tf32, f8 };
  const sam = await Sam.load(model, { ...compute, ...checkpointOf(options), signal });
  const rows = new RowMaker(sam, procedure, model);
  try {
    for (const { index, cells } of jobs) {
      signal?.throwIfAborted();
      await rows.run(samples[index]!, index, cells, onEntry, signal);
    }
  } finally {
    await sam.dispose();
  }
}
