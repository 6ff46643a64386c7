// Datasets as people have them on disk, opened by name. docs/datasets.md draws the folders of each.
import { z } from 'zod';
import { describe, invalidArgument, SamError } from '../../errors';
import { DATASET_NAMES, type DatasetName, EXIF_USES, type ExifUse } from '../../options/evaluate';
import { inputShape } from '../../options/input';
import { parse } from '../../options/validate';
import type { Dataset } from '../types';
import { openCoco } from './coco';
import { readFolder } from './files';
import { openFolder } from './folder';
import { type Layout, openLayout } from './layout';
import { COD10K, DIS5K, DUTS, ISIC2016 } from './layouts';

/** Options of {@link openDataset}. */
export interface OpenDatasetOptions {
  /** Which part of the dataset; capitals do not matter. Default: the one that papers report. */
  split?: string;
  /** Any problem is an error, which lists all of them (the first 1000). Default false. */
  strict?: boolean;
  /**
   * Turn images and masks as their EXIF orientation says (`apply`, default), or take pixels as they are stored. Pairs of which
   * only one has an orientation are in the notes: whether their masks are of the turned picture is not known from the files.
   */
  exif?: ExifUse;
  /** Images and masks with more pixels are not used. Default as `decodeImage` has it. */
  limitInputPixels?: number;
}

const LAYOUTS: Readonly<Partial<Record<DatasetName, Layout>>> = {
  dis5k: DIS5K,
  duts: DUTS,
  isic2016: ISIC2016,
  cod10k: COD10K,
};

const optionsSchema = z.strictObject({
  split: z.string().min(1).optional(),
  strict: z.boolean().default(false),
  exif: z.enum(EXIF_USES).default('apply'),
  limitInputPixels: inputShape.limitInputPixels,
});

/**
 * Opens a dataset: finds its folders, matches images with their ground truth and reads every header. What cannot be
 * used is in `problems`, by name; nothing is dropped in silence. Masks and annotations are read when a sample is asked
 * for them, so that memory does not grow with the images; damage behind a file's header shows only then.
 *
 * Masks are 1 where ground truth is above 128 of 255. Instances are drawn as pycocotools draws them.
 *
 * @param root the dataset's own folder, or the one that holds it
 * @returns samples by ascending name (COCO: by image id; ISIC with its csv: in the csv's order)
 * @throws SamError `ERR_INVALID_ARGUMENT` for an unknown name or split; `ERR_IO` when a folder or list cannot be read;
 *   `ERR_DATASET` when folders are missing, a list is damaged, nothing can be used, or, with `strict`, something cannot
 */
export async function openDataset(
  name: DatasetName,
  root: string,
  options: OpenDatasetOptions = {},
): Promise<Dataset> {
  if (!DATASET_NAMES.includes(name)) {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected one of ${DATASET_NAMES.join(', ')} for the dataset's name but received ${describe(name)}`,
    );
  }
  if (typeof root !== 'string' || root === '' || root.includes('\0')) {
    throw invalidArgument('root', 'path of a folder', root);
  }
  const opening = parse(optionsSchema, options, 'options');
  await readFolder(root);
  const layout = LAYOUTS[name];
  if (layout) return openLayout(layout, root, opening);
  return name === 'coco' ? openCoco(root, opening) : openFolder(root, opening);
}
