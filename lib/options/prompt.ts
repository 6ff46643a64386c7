// Prompts of Sam.predict: points, a box, a mask.
import { z } from 'zod';
import { type OptionsOf, readAs } from './option';
import { badText, decimalNumbers } from './text';
import { float32Array, type NumericArray, numberList, unchanged } from './validate';

/** A point in pixels of the photograph; label 1 (default) is foreground, 0 background. */
export type PromptPoint = readonly [x: number, y: number, label?: 0 | 1];
/** Corners in pixels of the photograph, x0 < x1 and y0 < y1. */
export type PromptBox = readonly [x0: number, y0: number, x1: number, y1: number];

/** How far outside of the image a coordinate may lie, px: annotation tools leave such noise. It counts as the edge. */
const TOLERANCE_PX = 0.5;

/**
 * A coordinate moved to the image's edge if it lies just outside.
 *
 * @param limit width or height of the image, px
 * @returns undefined when it lies farther outside
 */
export function clipped(value: number, limit: number): number | undefined {
  if (!(value >= -TOLERANCE_PX && value <= limit + TOLERANCE_PX)) return undefined;
  return Math.min(Math.max(value, 0), limit);
}

/** Whether anything of a box lies inside of the image. */
export function meets([x0, y0, x1, y1]: PromptBox, width: number, height: number): boolean {
  return Math.max(x0, 0) < Math.min(x1, width) && Math.max(y0, 0) < Math.min(y1, height);
}

const coordinate = z.number();
const label = z.union([z.literal(0), z.literal(1)]);

export const promptPoint: z.ZodType<PromptPoint, PromptPoint | NumericArray> = readAs(
  numberList(
    z.union([z.tuple([coordinate, coordinate]), z.tuple([coordinate, coordinate, label.optional()])], {
      error: 'Expected [x, y] or [x, y, label] with finite coordinates and label 0 or 1',
    }),
  ),
  (text, name) => {
    const values = decimalNumbers(text, name, 2, 3);
    if (values.length === 3 && !label.safeParse(values[2]).success) throw badText(name, 'label 0 or 1', text);
    return values;
  },
);

export const promptBox: z.ZodType<PromptBox, PromptBox | NumericArray> = readAs(
  numberList(
    unchanged(
      z.tuple([coordinate, coordinate, coordinate, coordinate], {
        error: 'Expected [x0, y0, x1, y1] of finite numbers',
      }),
    ),
  ),
  (text, name) => {
    const values = decimalNumbers(text, name, 4, 4);
    if (!(values[0] < values[2] && values[1] < values[3])) {
      throw badText(name, 'X0 < X1 and Y0 < Y1', text);
    }
    return values;
  },
);

const promptShape = {
  /**
   * All of them belong to one object. Each is an array or a typed array; the list of them is an array. Coordinates of points and
   * boxes may lie up to half a pixel outside of the image and are then moved to its edge.
   */
  points: unchanged(
    z.array(promptPoint, { error: 'Expected an array of points [x, y] or [x, y, label]' }),
  ).optional(),
  /** Corners in pixels of the photograph, x0 < x1 and y0 < y1; an array or a typed array. */
  box: promptBox.optional(),
  /** Low-resolution logits [4·gridH, 4·gridW] of an earlier prediction on an embedding of the same grid. */
  mask: float32Array.optional(),
};
export const promptSchema = z.strictObject(promptShape);

/** One prompt gives one mask (three with `multimask`). Its parts may be mixed freely; at least one must be there. */
export interface Prompt extends OptionsOf<typeof promptShape> {}
