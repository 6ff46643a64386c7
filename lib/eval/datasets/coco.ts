// COCO and datasets in its format: a folder of images beside annotations/instances_<split>.json.
import path from 'node:path';
import { SamError } from '../../errors';
import { isFile, isFolder } from '../../files/kind';
import { readImageSize } from '../../image/header';
import { sizeText } from '../../size';
import type { Dataset, Problem, Reading, Sample } from '../types';
import { type CocoEntry, readCocoFile } from './coco-file';
import {
  HEADERS_AT_A_TIME,
  listFolders,
  mapBounded,
  readFolder,
  withoutExtension,
  withSlashes,
} from './files';
import { counted, finishDataset } from './finish';
import { chooseSplit, type OpenOptions } from './layout';
import { exifAdvice, isAmbiguous, isSame, sizeOf } from './orientation';

const DEFAULT_SPLIT = 'val2017';
const TURNED =
  'images are turned by their EXIF orientation, and nothing says whether their annotations are (--exif ignore takes them as they are stored)';
/** Names in that note. */
const NAMED = 20;

/**
 * Opens a COCO split: `annotations/instances_<split>.json` and the images in `<split>/`, `images/<split>/` or `images/`.
 *
 * @param root holds `annotations/`, or a folder that does
 * @param split default val2017, or the only one that there is
 * @throws SamError ERR_INVALID_ARGUMENT, ERR_IO, ERR_DATASET
 */
export async function openCoco(root: string, { split, strict, ...reading }: OpenOptions): Promise<Dataset> {
  const { base, splits } = await findAnnotations(root);
  const name = split === undefined ? defaultSplit(splits, root) : chooseSplit(splits, split);
  const folder = await findImages(base, name);
  const { images, problems } = await readCocoFile(path.join(base, 'annotations', `instances_${name}.json`));
  const located = await mapBounded(images, HEADERS_AT_A_TIME, (entry) => locate(entry, base, folder));
  const counts = countFiles(located);
  const checked = await mapBounded(located, HEADERS_AT_A_TIME, (entry) => check(entry, counts, reading));
  const samples: Sample[] = [];
  const ambiguous: string[] = [];
  for (const result of checked) {
    if ('reason' in result) problems.push(result);
    else {
      samples.push(result.sample);
      if (result.isAmbiguous && reading.exif !== 'ignore') ambiguous.push(result.sample.id);
    }
  }
  const notes = ambiguous.length > 0 ? [counted(TURNED, ambiguous, NAMED)] : [];
  return finishDataset({ name: `COCO ${name}`, root, samples, problems, notes }, strict);
}

function defaultSplit(splits: readonly string[], root: string): string {
  if (splits.includes(DEFAULT_SPLIT)) return DEFAULT_SPLIT;
  if (splits.length === 1) return splits[0]!;
  throw new SamError(
    'ERR_INVALID_ARGUMENT',
    `Expected one of ${splits.join(', ')} for split but received none (${root} has no ${DEFAULT_SPLIT})`,
  );
}

async function findAnnotations(root: string): Promise<{ base: string; splits: string[] }> {
  const found: { base: string; splits: string[] }[] = [];
  const below = (await listFolders(root)).map((name) => path.join(root, name));
  for (const base of [root, ...below]) {
    const splits = await splitsIn(path.join(base, 'annotations'));
    if (splits.length > 0) found.push({ base, splits });
    if (base === root && splits.length > 0) break;
  }
  if (found.length === 1) return found[0]!;
  const [first, second] = found;
  throw new SamError(
    'ERR_DATASET',
    first && second
      ? `Expected one COCO dataset in ${root} but found ${first.base} and ${second.base}: choose one of them`
      : `Expected annotations/instances_*.json in ${root} or one folder below but found none`,
  );
}

async function splitsIn(folder: string): Promise<string[]> {
  if (!(await isFolder(folder))) return [];
  return (await readFolder(folder))
    .map((entry) => /^instances_(.+)\.json$/.exec(entry.name)?.[1])
    .filter((split) => split !== undefined)
    .sort();
}

async function findImages(base: string, split: string): Promise<string> {
  const tried = [split, path.join('images', split), 'images'].map((name) => path.join(base, name));
  for (const folder of tried) if (await isFolder(folder)) return folder;
  throw new SamError('ERR_DATASET', `Expected images in ${tried.join(' or ')} but found no such folder`);
}

/** An entry with the file that it means. */
interface Located extends CocoEntry {
  /** Path below the folder as the file gives it, normalized. */
  readonly name: string;
  readonly path: string;
}

// Annotation tools name files relative to the dataset's folder or to one above it, with Windows' separators, or in the other
// spelling of Unicode. Only files below the dataset's folder are taken, under their whole name: another folder's file of
// the same name is another image.
async function locate(entry: CocoEntry, base: string, folder: string): Promise<Located> {
  const asGiven = path.join(folder, entry.fileName);
  const name = path.posix.normalize(withSlashes(entry.fileName)).normalize('NFC');
  if (await isFile(asGiven)) return { ...entry, name, path: asGiven };
  const below = path.resolve(base) + path.sep;
  const spellings = [name, name.normalize('NFD')];
  let from = path.resolve(folder);
  for (let depth = name.split('/').length; depth > 0; depth--) {
    for (const spelling of spellings) {
      const file = path.join(from, spelling);
      if (file.startsWith(below) && (await isFile(file))) return { ...entry, name, path: file };
    }
    from = path.dirname(from);
  }
  // `images/` is what the images' folder is called wherever it is called anything.
  for (const at of [folder, base]) {
    for (const spelling of spellings) {
      const file = path.resolve(at, spelling.replace(/^images\//i, ''));
      if (file.startsWith(below) && (await isFile(file))) return { ...entry, name, path: file };
    }
  }
  return { ...entry, name, path: asGiven };
}

function countFiles(images: readonly Located[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const image of images) {
    const file = path.resolve(image.path);
    counts.set(file, (counts.get(file) ?? 0) + 1);
  }
  return counts;
}

async function check(
  entry: Located,
  counts: ReadonlyMap<string, number>,
  reading: Reading,
): Promise<{ sample: Sample; isAmbiguous: boolean } | Problem> {
  const id = withoutExtension(entry.name);
  const image = entry.path;
  const count = counts.get(path.resolve(image))!;
  if (count > 1) return { id, reason: `images lists it ${count} times; here with the id ${entry.id}` };
  try {
    const frame = await readImageSize(image, reading.limitInputPixels);
    const annotated = { width: entry.width, height: entry.height, orientation: 1 };
    const { width, height } = sizeOf(frame, reading.exif);
    if (isSame({ width, height }, annotated)) {
      const sample = { id, image, ...reading, instances: entry.instances };
      return { sample, isAmbiguous: isAmbiguous(frame, annotated) };
    }
    return {
      id,
      reason:
        `the image has ${sizeText({ width, height })} but its annotations are for ${sizeText(entry)} ` +
        `(${image})${exifAdvice(frame, annotated, reading.exif)}`,
    };
  } catch (error) {
    if (error instanceof SamError) return { id, reason: error.message };
    throw error;
  }
}
