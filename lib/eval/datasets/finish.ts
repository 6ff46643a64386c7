// The end of opening any dataset: what cannot be used is refused, or handed on with the rest.
import { SamError } from '../../errors';
import type { Dataset, Problem } from '../types';

const MAX_LISTED = 1000;

/**
 * @param strict any problem is an error that lists all of them (the first 1000)
 * @throws SamError ERR_DATASET when there is nothing to evaluate, or with `strict` when there is a problem
 */
export function finishDataset(dataset: Dataset, strict: boolean): Dataset {
  const { name, root, samples, problems, notes } = dataset;
  const where = `${name} in ${root}`;
  if (strict && problems.length > 0) {
    throw new SamError(
      'ERR_DATASET',
      `${where}: ${problems.length} of ${samples.length + problems.length} cannot be used:${list(problems)}`,
    );
  }
  if (samples.length > 0) return dataset;
  const left = notes?.length ? ` (${notes.join('; ')})` : '';
  throw new SamError(
    'ERR_DATASET',
    problems.length === 0
      ? `${where}: expected images but found none${left}`
      : `${where}: none of ${problems.length} can be used:${list(problems)}${left}`,
  );
}

function list(problems: readonly Problem[]): string {
  const shown = problems.slice(0, MAX_LISTED).map(({ id, reason }) => ` ${id}: ${reason}`);
  if (problems.length > MAX_LISTED) shown.push(` and ${problems.length - MAX_LISTED} more`);
  return shown.join(';');
}

/** `2 files that are no images are left out: a.txt, b.txt`. */
export function leftOut(what: string, names: readonly string[]): string {
  return counted(`${what} left out`, names);
}

/** `5 masks of some kind: a, b, c, …`. */
export function counted(what: string, names: readonly string[], most = 3): string {
  return `${names.length} ${what}: ${names.slice(0, most).join(', ')}${names.length > most ? ', …' : ''}`;
}
