// `ba-sam evaluate …`: a dataset or a suite of them in; tables, charts and every image's numbers out.

import { DATASET_NAMES } from '../eval/datasets';
import { evaluate } from '../eval/evaluate';
import type { EvaluateOptions } from '../eval/options';
import { COMBINATIONS } from '../eval/predict';
import { PROMPT_KINDS } from '../eval/prompts';
import { type EvaluationResult, resultTable } from '../eval/report';
import { ATTENTION_SETTINGS } from '../eval/settings';
import { evaluateSuite, suiteTable } from '../eval/suite';
import { EVALUATION_METRICS } from '../eval/tally';
import { MAX_LONGEST_SIDE } from '../image/resize';
import { type DistancePenalty, ZERO_SHOT } from '../model/ba-sam';
import { badValue, singleLine, UsageError } from './errors';
import type { EvaluateCommandOptions } from './evaluate-options';
import { EvaluationProgressView } from './evaluate-progress';
import {
  choice,
  METRICS as DISTANCES,
  DTYPES,
  device,
  given,
  integer,
  list,
  penalty,
  slopes,
} from './options';

/**
 * Runs the command: the table goes to stdout, progress and what could not be used to stderr.
 *
 * @throws UsageError, SamError; the signal's reason
 */
export async function runEvaluate(options: EvaluateCommandOptions, signal: AbortSignal): Promise<void> {
  const shared = { ...sharedOptions(options), signal };
  const view = new EvaluationProgressView();
  try {
    if (options.suite !== undefined) {
      const config = suiteConfig(options);
      const { results } = await evaluateSuite({
        ...shared,
        config,
        onProgress: (label, progress) => view.update(label, progress),
      });
      view.stop();
      for (const [label, result] of results) tellProblems(label, result);
      process.stdout.write(suiteTable(results));
      return;
    }
    const { dataset, root, split } = singleDataset(options);
    const result = await evaluate({
      ...shared,
      dataset,
      root,
      split,
      onProgress: (progress) => view.update(dataset, progress),
    });
    view.stop();
    tellProblems(dataset, result);
    process.stdout.write(resultTable(result));
  } finally {
    view.stop();
  }
}

function suiteConfig({ suite, config, dataset, root, split }: EvaluateCommandOptions): string {
  if (suite !== 'general') throw badValue('--suite', 'general', suite!);
  for (const [name, value] of Object.entries({ dataset, root, split })) {
    if (value !== undefined) {
      throw new UsageError(`Expected no --${name} together with --suite: datasets are named in --config`);
    }
  }
  if (config === undefined) throw new UsageError('Expected --config together with --suite');
  return config;
}

function singleDataset({ dataset, root, split, config }: EvaluateCommandOptions) {
  if (config !== undefined) throw new UsageError('Expected --suite together with --config');
  if (dataset === undefined) {
    throw new UsageError(`Expected --dataset (${DATASET_NAMES.join(', ')}) or --suite but received neither`);
  }
  const name = choice('--dataset', DATASET_NAMES)(dataset);
  if (root === undefined)
    throw new UsageError('Expected --root together with --dataset: the folder it is in');
  return { dataset: name, root, split };
}

function sharedOptions(options: EvaluateCommandOptions): Omit<EvaluateOptions, 'dataset' | 'onProgress'> {
  const { limit, device: devices, dtype, sizes, attention, prompt, grid, combine } = options;
  const { metrics, averageF, workers, pad, normalize } = options;
  return {
    strict: options.strict,
    limit: given(limit, integer('--limit', 1e9)),
    model: options.model,
    device: given(devices, list('--device', device)) as EvaluateOptions['device'],
    dtype: given(dtype, choice('--dtype', DTYPES)) as EvaluateOptions['dtype'],
    tf32: options.tf32,
    f8: options.f8,
    sizes: given(sizes, list('--sizes', integer('--sizes', MAX_LONGEST_SIDE))),
    attention: given(attention, list('--attention', choice('--attention', ATTENTION_SETTINGS))),
    penalty: paperPenalty(options),
    // Absent unless it is asked for: a suite's file may say otherwise.
    pad: pad ? undefined : false,
    prompt: given(prompt, choice('--prompt', PROMPT_KINDS)),
    grid: given(grid, integer('--grid', 64)),
    combine: given(combine, choice('--combine', COMBINATIONS)),
    multimask: options.multimask,
    metrics: given(metrics, list('--metrics', choice('--metrics', EVALUATION_METRICS))),
    normalize: normalize ? undefined : false,
    averageF: given(averageF, choice('--average-f', ['image', 'dataset'] as const)),
    out: options.out,
    resume: options.resume,
    workers: given(workers, integer('--workers', 256)),
  };
}

function paperPenalty(options: EvaluateCommandOptions): DistancePenalty | undefined {
  const metric = given(options.distance, choice('--distance', DISTANCES)) as
    | DistancePenalty['metric']
    | undefined;
  const slope = given(options.slopes, slopes);
  const start = given(options.start, (text) => penalty('--start', text));
  if (metric === undefined && slope === undefined && start === undefined) return undefined;
  return {
    metric: metric ?? ZERO_SHOT.distance.metric,
    slopes: slope ?? ZERO_SHOT.distance.slopes,
    start: start ?? ZERO_SHOT.distance.start,
  };
}

function tellProblems(label: string, { problems }: EvaluationResult): void {
  if (problems.length === 0) return;
  const { id, reason } = problems[0]!;
  const count = problems.length === 1 ? '1 image' : `${problems.length} images`;
  process.stderr.write(`${singleLine(`${label}: ${count} could not be used; first ${id}: ${reason}`)}\n`);
}
