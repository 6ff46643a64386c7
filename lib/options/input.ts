// The size that an image is encoded at.
import { z } from 'zod';
import { MAX_LONGEST_SIDE } from '../image/resize';
import { callShape } from './call';
import { type OptionsOf, spelled } from './option';

export const padShape = {
  /**
   * Pad to a square of `longestSide`, as SAM does (default). Without it each side is only rounded up to whole patches,
   * so that a non-square image gives a non-square, smaller grid.
   */
  pad: spelled(
    z.boolean(),
    '--no-pad',
    'round sides up to whole patches instead of padding to a square',
  ).default(true),
};

export const inputShape = {
  /** Length in px that the longer side of the image is scaled to, 1 … 16384. Default: the trained side (SAM: 1024). */
  longestSide: spelled(
    z.int().min(1).max(MAX_LONGEST_SIDE),
    '--longest-side <px>',
    'length of the longer side (default: the trained side)',
  ).optional(),
  /**
   * Images with more pixels are refused before they are decoded. Default 134217728 (2²⁷), for AVIF 67108864 (2²⁶); raw pixels
   * have none.
   */
  limitInputPixels: spelled(
    z.int().min(1),
    '--limit-input-pixels <count>',
    'refuse larger images (default: 134217728, for AVIF 67108864)',
  ).optional(),
};

const decodeShape = {
  /**
   * Images with more pixels than this are refused by their header, before they are decoded. Default 134217728 (2²⁷), for AVIF
   * 67108864 (2²⁶); for raw pixels, which are in memory already, there is none.
   */
  limitInputPixels: inputShape.limitInputPixels,
  /** Aborting rejects with the signal's reason at once. A decoder that runs already ends by itself: nothing can stop libvips. */
  signal: callShape.signal,
};
export const decodeSchema = z.strictObject(decodeShape);

/** Options of `decodeImage`. */
export interface DecodeOptions extends OptionsOf<typeof decodeShape> {}
