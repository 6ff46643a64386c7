// One model over several datasets: a file names them, one table compares them.
import path from 'node:path';
import { z } from 'zod';
import { invalidArgument, SamError } from '../errors';
import { readTextFile } from '../files/kind';
import {
  type AttentionSetting,
  datasetName,
  type EvaluateOptions,
  type EvaluationProgress,
  modelShape,
  perDatasetShape,
  splitShape,
} from '../options/evaluate';
import { withoutDefaults } from '../options/option';
import { filePath, parse } from '../options/validate';
import { journalPath, type PreparedEvaluation, prepareEvaluation, runEvaluation } from './evaluate';
import { Journal } from './journal';
import { FolderLock } from './lock';
import {
  checkFolder,
  type EvaluationResult,
  formatValue,
  heading,
  markdownTable,
  tableSchema,
  VERSION,
  writeLines,
} from './report';
import type { ResultKey } from './tally';

const FORMAT = 'ba-sam-suite-1';
const FILES = ['suite.json', 'suite.md'];

/** Options of {@link evaluateSuite}: those of a single evaluation hold for all datasets, before the file's. */
export interface SuiteOptions extends Omit<EvaluateOptions, 'dataset' | 'root' | 'split' | 'onProgress'> {
  /** Path of the suite's JSON file. */
  config: string;
  onProgress?: (label: string, progress: EvaluationProgress) => void;
}

/** The results of a suite's datasets, by label, in the file's order. */
export interface SuiteResult {
  readonly results: ReadonlyMap<string, EvaluationResult>;
  readonly files: readonly string[];
}

// What a file leaves out is filled in when an evaluation is checked: the command line comes before it.
const perDataset = withoutDefaults(perDatasetShape);
const label = z.string().regex(/^[\p{L}\p{N}][\p{L}\p{N} ._+-]{0,63}$/u, {
  error: 'Expected 1 to 64 letters, digits, spaces, ., _, + or -, the first a letter or digit,',
});
/** Options for all datasets, and the datasets with their own. */
const suiteSchema = z.strictObject({
  ...perDataset,
  ...withoutDefaults(modelShape),
  datasets: z
    .array(
      z.strictObject({
        ...perDataset,
        ...splitShape,
        /** Its name in the table and the name of its folder; default: dataset and split. */
        label: label.optional(),
        dataset: datasetName,
        /** Folder, relative to the suite's file. */
        root: filePath,
      }),
    )
    .min(1),
});

/**
 * Evaluates one model on several datasets. `out` gets a folder for each, with what {@link evaluate} writes, and
 * `suite.json` and `suite.md`.
 *
 * @throws SamError as {@link evaluate}; every dataset is checked before the first image is evaluated
 */
export async function evaluateSuite(options: SuiteOptions): Promise<SuiteResult> {
  if (typeof options !== 'object' || options === null) throw invalidArgument('options', 'object', options);
  const { config, out, onProgress, ...shared } = options;
  const { datasets, ...fileWide } = await readSuite(config);
  const inFolder = (file: string) => path.resolve(path.dirname(config), file);
  await checkFolder(path.resolve(out), FILES);
  const evaluations = new Map<string, EvaluateOptions>();
  for (const [index, { label, root, dataset, ...own }] of datasets.entries()) {
    const name = label ?? [dataset, own.split].filter(Boolean).join(' ').replace(/[\\/]/g, '-');
    if (evaluations.has(name)) {
      throw fileError(config, `expected another label for datasets.${index} but ${name} is taken`);
    }
    evaluations.set(name, {
      ...fileWide,
      ...(fileWide.model === undefined ? {} : { model: inFolder(fileWide.model) }),
      ...own,
      ...definedOnly(shared),
      dataset,
      root: inFolder(root),
      out: path.join(path.resolve(out), name),
      onProgress: (progress) => onProgress?.(name, progress),
    });
  }
  if (shared.resume) await resumeBegun([...evaluations.values()], path.resolve(out));
  const prepared = new Map<string, PreparedEvaluation>();
  for (const [name, evaluation] of evaluations) {
    const one = await prepareEvaluation(evaluation).catch((error) => {
      if (!(error instanceof SamError)) throw error;
      throw new SamError(error.code, `${name}: ${error.message}`, { cause: error });
    });
    prepared.set(name, one);
  }
  const lock = await FolderLock.acquire(path.resolve(out));
  try {
    const results = new Map<string, EvaluationResult>();
    for (const [name, evaluation] of prepared) results.set(name, await runEvaluation(evaluation));
    const files = FILES.map((name) => path.join(path.resolve(out), name));
    await writeLines(files[0]!, [suiteJson(results)]);
    await writeLines(files[1]!, [suiteTable(results)]);
    return { results, files };
  } finally {
    await lock[Symbol.asyncDispose]();
  }
}

/**
 * Rows: datasets; columns: keys × sizes × settings. A key, size or setting that a dataset does not have is a dash.
 *
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function suiteTable(results: ReadonlyMap<string, EvaluationResult>): string {
  parse(z.map(z.string(), tableSchema.extend({ images: z.number() })), results, 'results');
  const keys = new Map<string, ResultKey>([...results.values()].flatMap((result) => [...result.keys]));
  const means = [...results.values()].flatMap((result) => result.means);
  const sizes = [...new Set(means.map(({ size }) => size))].sort((a, b) => a - b);
  const attention = [...new Set(means.map((mean) => mean.attention))];
  const columns: { key: string; size: number; attention: AttentionSetting; title: string }[] = [];
  for (const [key, shown] of keys) {
    for (const size of sizes) {
      for (const name of attention) {
        columns.push({ key, size, attention: name, title: `${heading(shown)} ${size} ${name}` });
      }
    }
  }
  const rows = [...results].map(([name, result]) => {
    const cells = columns.map((column) => {
      const mean = result.means.find((one) => one.size === column.size && one.attention === column.attention);
      return formatValue(mean?.values[column.key]);
    });
    return [name, String(result.images), ...cells];
  });
  return markdownTable(['dataset', 'images', ...columns.map(({ title }) => title)], rows, 1);
}

// An interrupted suite has not begun its last datasets: those are begun now.
async function resumeBegun(evaluations: readonly EvaluateOptions[], out: string): Promise<void> {
  for (const evaluation of evaluations) evaluation.resume = await Journal.exists(journalPath(evaluation.out));
  if (!evaluations.some(({ resume }) => resume)) {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected a suite to resume in ${out} but none of its datasets was begun`,
    );
  }
}

async function readSuite(file: string): Promise<z.output<typeof suiteSchema>> {
  const text = await readTextFile(file);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw fileError(file, `expected JSON but it cannot be parsed: ${(cause as Error).message}`);
  }
  try {
    return parse(suiteSchema, value, 'suite');
  } catch (error) {
    throw error instanceof SamError ? fileError(file, error.message) : error;
  }
}

function suiteJson(results: ReadonlyMap<string, EvaluationResult>): string {
  const datasets = [...results].map(([name, { dataset, images, problems, means, files }]) => ({
    label: name,
    dataset,
    images,
    problems: problems.length,
    means,
    results: path.join(name, path.basename(files[0]!)),
  }));
  return `${JSON.stringify({ format: FORMAT, version: VERSION, datasets }, null, 1)}\n`;
}

function definedOnly<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function fileError(file: string, message: string): SamError {
  return new SamError('ERR_INVALID_ARGUMENT', `${file}: ${message}`);
}
