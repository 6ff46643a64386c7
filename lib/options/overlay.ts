// What an overlay draws besides the image.
import { z } from 'zod';
import type { Rle } from '../image/rle';
import type { OptionsOf } from './option';
import { promptBox } from './prompt';
import { numberList, unchanged } from './validate';

const channel = z.number().min(0).max(255);

const overlayShape = {
  /** Opacity of the masks, 0 … 1. Default 0.5. */
  alpha: z.number().min(0).max(1).default(0.5),
  /** Width of the masks' contour in px, 0 = none. Default: 1 px per 600 px of the longer side, at least 1. */
  contour: z.int().min(0).optional(),
  /** `[x, y]` or `[x, y, label]`: label 1 (default) is drawn green (foreground), 0 red (background). Others are not drawn. */
  points: unchanged(
    z.array(numberList(unchanged(z.tuple([z.number(), z.number(), z.number().optional()]))), {
      error: 'Expected an array of points [x, y] or [x, y, label]',
    }),
  ).optional(),
  /** `[x0, y0, x1, y1]`, in the colour of the prompt with the same place in the list. */
  boxes: unchanged(z.array(promptBox, { error: 'Expected an array of boxes [x0, y0, x1, y1]' })).optional(),
};
export const overlaySchema = z.strictObject(overlayShape);

/** Options of {@link overlay}. Coordinates are pixels of the image. */
export interface OverlayOptions extends OptionsOf<typeof overlayShape> {}

/** Red, green, blue: 0 … 255. */
export type Color = readonly [red: number, green: number, blue: number];

export const layerSchema = z.looseObject({
  /** Checked against the image's size by those that draw it. */
  data: z.custom<Uint8Array | Rle>(),
  prompt: z.int().min(0).optional(),
  color: numberList<Color>(z.tuple([channel, channel, channel])).optional(),
});
