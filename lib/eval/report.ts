// What an evaluation leaves behind: means, a JSON file with every row, a Markdown table, a chart.
import { readFileSync } from 'node:fs';
import { access, constants, open, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { SamError } from '../errors';
import { replaceFile } from '../files/outputs';
import { ioReason } from '../files/reason';
import { assertWritable } from '../files/writable';
import { parse } from '../options/validate';
import { lineChart, writeChart } from './chart';
import { counted } from './datasets/finish';
import type { PreparedEvaluation } from './evaluate';
import type { Journal } from './journal';
import { attentionSettings, type Cell } from './settings';
import { type ResultKey, resultKeys, Tally, type Values } from './tally';
import type { Problem } from './types';

/** Version of this package. */
export const VERSION = (
  JSON.parse(readFileSync(path.join(__dirname, '..', '..', 'package.json'), 'utf8')) as { version: string }
).version;

const FORMAT = 'ba-sam-results-1';

/** One size and setting over the whole dataset. */
export interface CellResult extends Cell {
  /** By key: means over images, or what the metric makes of a dataset. Null where there is no number. */
  readonly values: Values;
}

/** What an evaluation found. */
export interface EvaluationResult {
  readonly dataset: string;
  /** Images that were evaluated. */
  readonly images: number;
  /** Images and pairs that could not be used. */
  readonly problems: readonly Problem[];
  /** What was left out on purpose or taken in a way that is not plain, in words. */
  readonly notes: readonly string[];
  /** Every size with every setting, sizes changing slowest. */
  readonly means: readonly CellResult[];
  /** The keys of tables and charts. */
  readonly keys: ReadonlyMap<string, ResultKey>;
  /** Written files. */
  readonly files: readonly string[];
}

/** What an evaluation leaves in its folder, besides the journal. */
export const RESULT_FILES = ['results.json', 'results.md', 'chart.svg', 'chart.png'] as const;

/**
 * Checks that a folder is there and writable, or can be made, and that these files can be written into it.
 *
 * @throws SamError ERR_IO
 */
export async function checkFolder(folder: string, names: readonly string[]): Promise<void> {
  const fail = (reason: string, cause?: unknown) =>
    new SamError('ERR_IO', `Cannot write to ${folder}: ${reason}`, { cause });
  for (let at = folder; ; at = path.dirname(at)) {
    try {
      if (!(await stat(at)).isDirectory()) throw fail(`${at} is no directory`);
      await access(at, constants.W_OK | constants.X_OK);
      if (at === folder) for (const name of names) await assertWritable(path.join(folder, name));
      return;
    } catch (cause) {
      if (cause instanceof SamError) throw cause;
      const { code } = cause as NodeJS.ErrnoException;
      if (code !== 'ENOENT' || at === path.dirname(at)) {
        throw fail(at === folder ? ioReason(cause) : `${at}: ${ioReason(cause)}`, cause);
      }
    }
  }
}

/**
 * Adds up the journal. Images come in the dataset's order, one at a time.
 *
 * @throws SamError ERR_DATASET when no image could be used; ERR_IO, ERR_INVALID_ARGUMENT for a damaged journal
 */
export async function summarize(
  { dataset, samples, procedure, options }: PreparedEvaluation,
  journal: Journal,
): Promise<EvaluationResult> {
  const { cells, metrics } = procedure;
  const tallies = cells.map(() => new Tally(metrics));
  const problems: Problem[] = [...dataset.problems];
  const noted = new Map<string, string[]>();
  let images = 0;
  for (const [index, { id }] of samples.entries()) {
    const reason = journal.failure(index);
    if (reason !== undefined) {
      problems.push({ id, reason });
      continue;
    }
    images++;
    let note: string | undefined;
    for (const [cell, tally] of tallies.entries()) {
      const { state, ...row } = await journal.read(index, cell);
      note = row.note;
      try {
        tally.merge(state);
      } catch (cause) {
        throw new SamError(
          'ERR_INVALID_ARGUMENT',
          `${journal.path}: expected the metrics' state in the row of ${id} but found something else`,
          { cause },
        );
      }
    }
    if (note !== undefined)
      noted
        .set(note, noted.get(note) ?? [])
        .get(note)!
        .push(id);
  }
  if (images === 0) {
    throw new SamError(
      'ERR_DATASET',
      `${dataset.root}: expected usable images but found none of ${samples.length}; first ${problems[0]!.id}: ` +
        problems[0]!.reason,
    );
  }
  const file = (name: string) => path.join(options.out, name);
  return {
    dataset: dataset.name,
    images,
    problems,
    notes: [...(dataset.notes ?? []), ...[...noted].map(([note, ids]) => counted(note, ids))],
    means: cells.map((cell, i) => ({ ...cell, values: tallies[i]!.result() })),
    keys: resultKeys(metrics.names),
    files: RESULT_FILES.map(file),
  };
}

/**
 * Writes the results; each file is replaced at once or not at all.
 *
 * @throws SamError ERR_IO
 */
export async function writeReport(
  prepared: PreparedEvaluation,
  journal: Journal,
  result: EvaluationResult,
): Promise<void> {
  const [json, markdown, chart] = result.files as [string, string, string];
  await writeLines(json, jsonLines(prepared, journal, result));
  await writeLines(markdown, [`${describeRun(prepared, result)}\n${resultTable(result)}`]);
  const { fingerprint } = prepared;
  const svg = lineChart({
    title: [fingerprint.dataset, fingerprint.split, fingerprint.prompt].filter(Boolean).join(' · '),
    xLabel: 'longest side, px',
    panels: chartPanels(result),
  });
  await writeChart(chart.slice(0, -'.svg'.length), svg);
}

/** What a table needs of an {@link EvaluationResult}. */
export const tableSchema = z.object({
  means: z.array(
    z.object({
      size: z.number(),
      attention: z.string(),
      values: z.record(z.string(), z.number().nullable()),
    }),
  ),
  keys: z.map(z.string(), z.object({ label: z.string(), better: z.enum(['higher', 'lower']) })),
});

/**
 * A Markdown table: a row for every size and setting, a column for every key.
 *
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function resultTable(result: Pick<EvaluationResult, 'means' | 'keys'>): string {
  parse(tableSchema, result, 'result');
  const { means, keys } = result;
  return markdownTable(
    ['size', 'attention', ...[...keys.values()].map(heading)],
    means.map(({ size, attention, values }) => [
      String(size),
      attention,
      ...[...keys.keys()].map((key) => formatValue(values[key])),
    ]),
    2,
  );
}

/** `max F ↑`: what the key is called, and which way is better. */
export function heading({ label, better }: ResultKey): string {
  return `${label} ${better === 'higher' ? '↑' : '↓'}`;
}

/** Four decimals; fewer for large numbers such as HCE; a dash where there is no number. */
export function formatValue(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  return value.toFixed(Math.abs(value) < 10 ? 4 : 1);
}

/** @param left columns that are aligned to the left; the others are numbers */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  left: number,
): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeCell).join(' | ')} |\n`;
  const rule = head.map((_, i) => (i < left ? '---' : '---:'));
  return [head, rule, ...rows].map(line).join('');
}

/** Writes a file piece by piece beside its place, and moves it there. */
export async function writeLines(
  file: string,
  pieces: Iterable<string> | AsyncIterable<string>,
): Promise<void> {
  await replaceFile(file, async (temporary) => {
    const handle = await open(temporary, 'wx');
    try {
      for await (const piece of pieces) await handle.appendFile(piece);
    } finally {
      await handle.close();
    }
  });
}

// One line per row: the file can be searched, and is written without being held.
async function* jsonLines(
  { options, samples, procedure, fingerprint }: PreparedEvaluation,
  journal: Journal,
  result: EvaluationResult,
): AsyncGenerator<string> {
  const { version, ...settings } = fingerprint;
  const attention = Object.fromEntries(
    options.attention.map((name) => [name, attentionSettings(name, options.distance)]),
  );
  const head = {
    format: FORMAT,
    version,
    settings: { ...settings, model: { path: options.model, sha256: settings.model }, attention },
    evaluated: result.images,
    problems: result.problems,
    notes: result.notes,
  };
  yield `${JSON.stringify(head).slice(0, -1)},\n"means":[\n`;
  yield result.means.map((mean) => JSON.stringify(mean)).join(',\n');
  yield '\n],\n"rows":[\n';
  let separator = '';
  for (const [index, { id }] of samples.entries()) {
    if (journal.failure(index) !== undefined) continue;
    for (const [cell, { size, attention: name }] of procedure.cells.entries()) {
      const { values } = await journal.read(index, cell);
      yield `${separator}${JSON.stringify({ id, size, attention: name, values })}`;
      separator = ',\n';
    }
  }
  yield '\n]}\n';
}

function describeRun({ options, fingerprint }: PreparedEvaluation, result: EvaluationResult): string {
  const { dataset, split, images, prompt, dtype, device, version } = fingerprint;
  const unusable = result.problems.length;
  return [
    `# ${dataset}${split ? ` ${split}` : ''}`,
    '',
    `${result.images} of ${images} images, prompt ${prompt}, model \`${path.basename(options.model)}\`, ${dtype} on ` +
      `${device}, ba-sam ${version}.` +
      (unusable > 0 ? ` ${unusable} could not be used: see problems in results.json.` : ''),
    '',
  ].join('\n');
}

function chartPanels({ means, keys }: EvaluationResult) {
  const names = [...new Set(means.map(({ attention }) => attention))];
  return [...keys].map(([key, shown]) => ({
    title: heading(shown),
    series: names.map((name) => ({
      name,
      points: means
        .filter(({ attention }) => attention === name)
        .map(({ size, values }) => [size, values[key] ?? Number.NaN] as const)
        .sort(([a], [b]) => a - b),
    })),
  }));
}

function escapeCell(text: string): string {
  return text.replace(/[|\\`*_<>[\]]/g, '\\$&').replace(/\s+/g, ' ');
}
