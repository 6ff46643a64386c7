// Datasets that are pairs of folders: which folders make a split, and where they are found below the root.
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { describe, SamError } from '../../errors';
import { isFolder } from '../../files/kind';
import type { ExifUse } from '../../options/evaluate';
import type { Dataset, Problem, Reading } from '../types';
import { listFolders } from './files';
import { finishDataset } from './finish';
import { checkPairs, listPairs, type Pair, type PairList, type PairRules } from './pairs';

/** How a dataset is opened, see `OpenDatasetOptions`. */
export interface OpenOptions extends Reading {
  readonly split?: string;
  readonly strict: boolean;
  readonly exif: ExifUse;
}

/** Two folders relative to the dataset's own. */
export interface Place {
  readonly images: string;
  readonly masks: string;
  /** See {@link PairRules}. */
  readonly sharedMasks?: boolean;
}

/** A set of pairs; where its folders may lie, best known first. */
export interface Part {
  /** Begins the ids of a split with several parts. */
  readonly name: string;
  readonly places: readonly Place[];
}

/** A dataset made of image and mask folders. */
export interface Layout {
  readonly title: string;
  /** The split that is meant when none is named. */
  readonly defaultSplit: string;
  readonly splits: Readonly<Record<string, readonly Part[]>>;
  readonly rules: PairRules;
  /**
   * Reads a list of the split's pairs that lies beside the folders, where a dataset has one.
   *
   * @returns undefined when there is none
   */
  readonly readList?: (base: string, place: Place) => Promise<PairList | undefined>;
}

/** Two folders on disk, and the dataset's folder that they were found in. */
export interface Found {
  readonly base: string;
  readonly place: Place;
  readonly images: string;
  readonly masks: string;
}

/**
 * Opens a split of a layout.
 *
 * @throws SamError ERR_INVALID_ARGUMENT for an unknown split, ERR_IO, ERR_DATASET
 */
export async function openLayout(
  layout: Layout,
  root: string,
  { split, strict, ...reading }: OpenOptions,
): Promise<Dataset> {
  const name = chooseSplit(Object.keys(layout.splits), split ?? layout.defaultSplit);
  const parts = layout.splits[name]!;
  const pairs: Pair[] = [];
  const problems: Problem[] = [];
  const notes: string[] = [];
  for (const part of parts) {
    const found = await findPart(layout, root, part);
    const list =
      (await layout.readList?.(found.base, found.place)) ??
      (await listPairs(found, { ...layout.rules, sharedMasks: found.place.sharedMasks }));
    const prefix = parts.length > 1 ? `${part.name}/` : '';
    pairs.push(...list.pairs.map((pair) => ({ ...pair, id: prefix + pair.id })));
    problems.push(...list.problems.map((problem) => ({ ...problem, id: prefix + problem.id })));
    notes.push(...list.notes.map((note) => (prefix === '' ? note : `${part.name}: ${note}`)));
  }
  const checked = await checkPairs(pairs, reading);
  return finishDataset(
    {
      name: `${layout.title} ${name}`,
      root,
      samples: checked.samples,
      problems: [...problems, ...checked.problems],
      notes: [...notes, ...checked.notes],
    },
    strict,
  );
}

/**
 * The split as it is spelled here; capitals do not matter.
 *
 * @throws SamError ERR_INVALID_ARGUMENT: "Expected one of … for split but received …"
 */
export function chooseSplit(names: readonly string[], wanted: string): string {
  const found =
    names.find((name) => name === wanted) ??
    names.find((name) => name.toLowerCase() === wanted.toLowerCase());
  if (found !== undefined) return found;
  throw new SamError(
    'ERR_INVALID_ARGUMENT',
    `Expected one of ${names.join(', ')} for split but received ${describe(wanted)}`,
  );
}

/**
 * Finds the folders of a part in the root, which may be the dataset's folder, or in the folders directly below it.
 *
 * @throws SamError ERR_IO; ERR_DATASET when they are nowhere, or in two places
 */
async function findPart(layout: Layout, root: string, part: Part): Promise<Found> {
  const below = await listFolders(root);
  let found = await placesIn(root, part);
  if (found.length === 0) {
    for (const name of below) found.push(...(await placesIn(path.join(root, name), part)));
  }
  found = await distinct(found);
  if (found.length === 1) return found[0]!;
  const [first, second] = found;
  if (first && second) {
    throw new SamError(
      'ERR_DATASET',
      `Expected ${layout.title} ${part.name} once in ${root} but found ${first.images} and ${second.images}: ` +
        'choose a root that holds one of them',
    );
  }
  const { images, masks } = part.places[0]!;
  const here = await partsIn(layout, root, below);
  const there =
    here.length > 0
      ? `the parts ${here.join(', ')}`
      : `the folders ${below.slice(0, 10).join(', ') || '(none)'}`;
  throw new SamError(
    'ERR_DATASET',
    `Expected the folders ${images} and ${masks} for ${layout.title} ${part.name} in ${root} or one folder below ` +
      `but found ${there}`,
  );
}

async function placesIn(base: string, part: Part): Promise<Found[]> {
  const found: Found[] = [];
  for (const place of part.places) {
    const [images, masks] = [path.join(base, place.images), path.join(base, place.masks)];
    if ((await isFolder(images)) && (await isFolder(masks))) found.push({ base, place, images, masks });
  }
  return found;
}

// A folder may be reached in two ways: by a link, or as a/b from here and b from a.
async function distinct(found: readonly Found[]): Promise<Found[]> {
  const byPath = new Map<string, Found>();
  for (const entry of found) {
    const key = await realpath(entry.images);
    if (!byPath.has(key)) byPath.set(key, entry);
  }
  return [...byPath.values()];
}

// The parts that are there, for an error about one that is not.
async function partsIn(layout: Layout, root: string, below: readonly string[]): Promise<string[]> {
  const names = new Set<string>();
  for (const part of Object.values(layout.splits).flat()) {
    for (const base of [root, ...below.map((name) => path.join(root, name))]) {
      if ((await placesIn(base, part)).length > 0) names.add(part.name);
    }
  }
  return [...names];
}
