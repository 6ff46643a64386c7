// A plain pair of folders: images/ and masks/.
import path from 'node:path';
import { SamError } from '../../errors';
import { isFolder } from '../../files/kind';
import type { Dataset } from '../types';
import { listFolders } from './files';
import { finishDataset } from './finish';
import { chooseSplit, type OpenOptions } from './layout';
import { checkPairs, listPairs } from './pairs';

/**
 * Opens `images/` and `masks/`, matched by names without extension, folders inside them included.
 *
 * @param split a folder in the root that holds the two; without it, the root itself or the only such folder
 * @throws SamError ERR_INVALID_ARGUMENT, ERR_IO, ERR_DATASET
 */
export async function openFolder(root: string, { split, strict, ...reading }: OpenOptions): Promise<Dataset> {
  const base = await findBase(root, split);
  const folders = { images: path.join(base, 'images'), masks: path.join(base, 'masks') };
  const list = await listPairs(folders, { recursive: true });
  const { samples, problems, notes } = await checkPairs(list.pairs, reading);
  const name = base === root ? path.basename(path.resolve(root)) : path.basename(base);
  return finishDataset(
    { name, root, samples, problems: [...list.problems, ...problems], notes: [...list.notes, ...notes] },
    strict,
  );
}

async function findBase(root: string, split: string | undefined): Promise<string> {
  const splits: string[] = [];
  for (const name of await listFolders(root)) {
    if (await hasPair(path.join(root, name))) splits.push(name);
  }
  if (split !== undefined) {
    if (splits.length > 0) return path.join(root, chooseSplit(splits, split));
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected no split for ${root} (no folder in it holds images/ and masks/) but received ${JSON.stringify(split)}`,
    );
  }
  if (await hasPair(root)) return root;
  if (splits.length === 1) return path.join(root, splits[0]!);
  throw new SamError(
    'ERR_DATASET',
    splits.length === 0
      ? `Expected the folders images and masks in ${root} or one folder below but found neither`
      : `Expected one of ${splits.join(', ')} for split but received none: each holds images and masks in ${root}`,
  );
}

async function hasPair(folder: string): Promise<boolean> {
  return (await isFolder(path.join(folder, 'images'))) && (await isFolder(path.join(folder, 'masks')));
}
