// `ba-sam evaluate …`: a dataset or a suite of them in; tables, charts and every image's numbers out.

import { visible } from '../errors';
import { evaluate } from '../eval/evaluate';
import { type EvaluationResult, resultTable } from '../eval/report';
import { evaluateSuite, suiteTable } from '../eval/suite';
import { evaluateCommandShape } from '../options/commands';
import { DATASET_NAMES } from '../options/evaluate';
import { UsageError, visibleLines } from './errors';
import { EvaluationProgressView } from './evaluate-progress';
import { optionsOf, type Texts } from './flags';

/**
 * Runs the command: the table goes to stdout, progress, notes and what could not be used to stderr.
 *
 * @throws UsageError, SamError; the signal's reason
 */
export async function runEvaluate(texts: Texts, signal: AbortSignal): Promise<void> {
  const { dataset, root, split, suite, config, ...options } = optionsOf(evaluateCommandShape, texts);
  const shared = { ...options, signal };
  const view = new EvaluationProgressView();
  try {
    if (suite !== undefined) {
      for (const [name, value] of Object.entries({ dataset, root, split })) {
        if (value === undefined) continue;
        throw new UsageError(`Expected no --${name} together with --suite: datasets are named in --config`);
      }
      if (config === undefined) throw new UsageError('Expected --config together with --suite');
      const { results } = await evaluateSuite({
        ...shared,
        config,
        onProgress: (label, progress) => view.update(label, progress),
      });
      view.stop();
      for (const [label, result] of results) tellProblems(label, result);
      process.stdout.write(visibleLines(suiteTable(results)));
      return;
    }
    if (config !== undefined) throw new UsageError('Expected --suite together with --config');
    if (dataset === undefined) {
      throw new UsageError(
        `Expected --dataset (${DATASET_NAMES.join(', ')}) or --suite but received neither`,
      );
    }
    if (root === undefined) {
      throw new UsageError('Expected --root together with --dataset: the folder it is in');
    }
    const result = await evaluate({
      ...shared,
      dataset,
      root,
      split,
      onProgress: (progress) => view.update(dataset, progress),
    });
    view.stop();
    tellProblems(dataset, result);
    process.stdout.write(visibleLines(resultTable(result)));
  } finally {
    view.stop();
  }
}

function tellProblems(label: string, { problems, notes }: EvaluationResult): void {
  const say = (text: string) => void process.stderr.write(`${visible(`${label}: ${text}`)}\n`);
  for (const note of notes) say(note);
  if (problems.length === 0) return;
  const { id, reason } = problems[0]!;
  const count = problems.length === 1 ? '1 image' : `${problems.length} images`;
  say(`${count} could not be used; first ${id}: ${reason}`);
}
