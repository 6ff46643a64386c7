// Images and their masks in two folders: matched by name, checked by their headers.
import { SamError } from '../../errors';
import { readImageSize } from '../../image/header';
import { sizeText } from '../../size';
import type { BinaryMask, Problem, Reading, Sample } from '../types';
import { HEADERS_AT_A_TIME, type ImageFile, listImages, mapBounded } from './files';
import { counted, leftOut } from './finish';
import { readMask } from './mask';
import { readMaskFrame } from './mask-pixels';
import { exifAdvice, isAmbiguous, isSame, sizeOf } from './orientation';

const TURNED_APART =
  'images and their masks have different EXIF orientations and are turned by them (--exif ignore takes both as they are stored)';
/** Names in that note. */
const NAMED = 20;

/** An image and its ground truth, by path. */
export interface Pair {
  readonly id: string;
  readonly image: string;
  readonly mask: string;
}

/** Pairs that look usable by name, and what does not. */
export interface PairList {
  readonly pairs: readonly Pair[];
  readonly problems: readonly Problem[];
  readonly notes: readonly string[];
}

/** How files of two folders belong together. */
export interface PairRules {
  /** What masks have behind the image's name: `_Segmentation`. */
  readonly maskSuffix?: string;
  /** Folders in the folders, too. */
  readonly recursive?: boolean;
  /** Masks of other splits lie in the same folder: those without an image are no problem. */
  readonly sharedMasks?: boolean;
  /** Images that are not evaluated, and in what words they are left out. */
  readonly excluded?: { readonly pattern: RegExp; readonly what: string };
}

/**
 * Matches the images of one folder with the masks of another by their names without extension.
 *
 * @throws SamError ERR_IO, ERR_DATASET
 */
export async function listPairs(
  folders: { readonly images: string; readonly masks: string },
  rules: PairRules,
): Promise<PairList> {
  const images = await listImages(folders.images, rules.recursive);
  const masks = await listImages(folders.masks, rules.recursive);
  const suffix = rules.maskSuffix ?? '';
  const imagesOf = group(images.images, '');
  const masksOf = group(masks.images, suffix);
  const pairs: Pair[] = [];
  const problems: Problem[] = [];
  const excluded: string[] = [];

  for (const [id, files] of imagesOf) {
    const found = masksOf.get(id);
    masksOf.delete(id);
    if (rules.excluded?.pattern.test(id)) excluded.push(id);
    else if (files.length > 1) problems.push({ id, reason: `its image is there twice: ${paths(files)}` });
    else if (!found) {
      problems.push({ id, reason: `its mask is missing: expected ${id}${suffix}.* in ${folders.masks}` });
    } else if (found.length > 1) problems.push({ id, reason: `its mask is there twice: ${paths(found)}` });
    else pairs.push({ id, image: files[0]!.path, mask: found[0]!.path });
  }
  if (!rules.sharedMasks) {
    for (const [id, files] of masksOf) {
      if (rules.excluded?.pattern.test(id)) continue;
      problems.push({ id, reason: `the image of ${paths(files)} is missing in ${folders.images}` });
    }
  }

  const notes: string[] = [];
  if (excluded.length > 0) notes.push(leftOut(rules.excluded!.what, excluded));
  const others = [...images.others, ...masks.others];
  if (others.length > 0) notes.push(leftOut('files that are no images', others));
  return { pairs, problems, notes };
}

// One name may be spelled in two ways in Unicode, and disks change the spelling.
function group(files: readonly ImageFile[], suffix: string): Map<string, ImageFile[]> {
  const groups = new Map<string, ImageFile[]>();
  for (const file of files) {
    const stem = file.stem.normalize('NFC');
    const id = stem.endsWith(suffix) ? stem.slice(0, stem.length - suffix.length) : stem;
    const others = groups.get(id);
    if (others) others.push(file);
    else groups.set(id, [file]);
  }
  return groups;
}

function paths(files: readonly ImageFile[]): string {
  return files.map((file) => file.path).join(' and ');
}

/**
 * Reads the headers of all files and keeps the pairs whose image and mask can be read and have the same size.
 *
 * @returns samples in the order of the pairs; notes about pairs that EXIF turns in different ways
 */
export async function checkPairs(
  pairs: readonly Pair[],
  reading: Reading,
): Promise<{ samples: Sample[]; problems: Problem[]; notes: string[] }> {
  const samples: Sample[] = [];
  const problems: Problem[] = [];
  const ambiguous: string[] = [];
  const checked = await mapBounded(pairs, HEADERS_AT_A_TIME, (pair) => checkPair(pair, reading));
  for (const result of checked) {
    if ('reason' in result) problems.push(result);
    else {
      samples.push(result.sample);
      if (result.isAmbiguous && reading.exif !== 'ignore') ambiguous.push(result.sample.id);
    }
  }
  const notes = ambiguous.length > 0 ? [counted(TURNED_APART, ambiguous, NAMED)] : [];
  return { samples, problems, notes };
}

async function checkPair(
  { id, image, mask }: Pair,
  reading: Reading,
): Promise<{ sample: Sample; isAmbiguous: boolean } | Problem> {
  try {
    const { exif, limitInputPixels: limit } = reading;
    const [frame, maskFrame] = [await readImageSize(image, limit), await readMaskFrame(mask, limit)];
    const [size, maskSize] = [sizeOf(frame, exif), sizeOf(maskFrame, exif)];
    if (!isSame(size, maskSize)) {
      const advice = exifAdvice(frame, maskFrame, exif);
      return {
        id,
        reason: `the image has ${sizeText(size)} but its mask ${sizeText(maskSize)} (${mask})${advice}`,
      };
    }
    const sample = { id, image, ...reading, mask: () => readMaskOf(mask, size, reading) };
    return { sample, isAmbiguous: isAmbiguous(frame, maskFrame) };
  } catch (error) {
    if (error instanceof SamError) return { id, reason: error.message };
    throw error;
  }
}

async function readMaskOf(
  path: string,
  size: { width: number; height: number },
  reading: Reading,
): Promise<BinaryMask> {
  const mask = await readMask(path, reading);
  if (isSame(mask, size)) return mask;
  throw new SamError(
    'ERR_IMAGE',
    `Cannot use ${path} as a mask: it had ${sizeText(size)} when the dataset was opened but now has ${sizeText(mask)}`,
  );
}
