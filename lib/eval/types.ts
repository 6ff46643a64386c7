/**
 * What the evaluation passes around: masks, samples, datasets.
 */

import type { ExifUse } from '../options/evaluate';

/** Ground truth or binary prediction: [height, width], 1 inside, 0 outside. */
export interface BinaryMask {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** How the file was taken where that was not plain, in words that fit many masks; the results count them. */
  readonly note?: string;
}

/** A prediction in [0, 1] (a saliency map, a probability): [height, width]. */
export interface SoftMask {
  readonly data: Float32Array;
  readonly width: number;
  readonly height: number;
}

/** How the pictures of a dataset are read. */
export interface Reading {
  /** What is done with their EXIF orientation. Default `apply`. */
  readonly exif?: ExifUse;
  /** Pictures with more pixels are not decoded. Default as `decodeImage` has it. */
  readonly limitInputPixels?: number;
}

/** One image of a dataset, read as it says, and what is known about it; files are read when they are needed. */
export interface Sample extends Reading {
  /** Unique in the dataset and stable: the relative path without extension. */
  readonly id: string;
  /** Path of the image. */
  readonly image: string;
  /** Whole-image ground truth (DIS, DUTS, ISIC, COD10K, folders). */
  readonly mask?: () => Promise<BinaryMask>;
  /** Instances (COCO). */
  readonly instances?: () => Promise<readonly Instance[]>;
}

/** One annotated object of an image; lengths in pixels of the image, the area in pixels. */
export interface Instance {
  readonly id: number;
  readonly category: number;
  readonly crowd: boolean;
  readonly area: number;
  readonly box: readonly [x: number, y: number, width: number, height: number];
  readonly mask: BinaryMask;
}

/** An image that cannot be used, or a mask or a record without one, by name; and why. */
export interface Problem {
  readonly id: string;
  readonly reason: string;
}

export interface Dataset {
  readonly name: string;
  readonly root: string;
  readonly samples: readonly Sample[];
  readonly problems: readonly Problem[];
  /** What was left out on purpose, in words: images that the field does not evaluate, files that are no images. */
  readonly notes?: readonly string[];
}
