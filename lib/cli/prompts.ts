// How points, boxes and mask prompts of the command line form prompts, and checks against the image.
import type { z } from 'zod';

import type { promptFlagsShape } from '../options/commands';
import { clipped, meets, type Prompt } from '../options/prompt';
import { type Size, sizeText } from '../size';
import { UsageError } from './errors';

/** What the command line says about what to segment. */
export type PromptOptions = z.output<z.ZodObject<typeof promptFlagsShape>>;

/**
 * How many prompts points and boxes form: all points and at most one box are one prompt, several boxes are several.
 *
 * @returns undefined when there is a mask input alone: then its file says
 * @throws UsageError without any prompt, or for points beside several boxes
 */
export function promptCount({ point = [], box = [], maskInput }: PromptOptions): number | undefined {
  if (point.length + box.length === 0) {
    if (maskInput !== undefined) return undefined;
    throw new UsageError('Expected a prompt but received none: give --point, --box or --mask-input');
  }
  if (point.length > 0 && box.length > 1) {
    throw new UsageError(
      `Expected no --point together with ${box.length} boxes: every box is a prompt of its own`,
    );
  }
  return Math.max(1, box.length);
}

/** The prompts for `Sam.predict`; `masks` holds a mask prompt for each of them, or nothing. */
export function buildPrompts(
  { point = [], box = [] }: PromptOptions,
  masks: readonly Float32Array[],
): Prompt[] {
  const points = point.length > 0 ? point : undefined;
  return Array.from({ length: Math.max(1, box.length, masks.length) }, (_, i) => ({
    points,
    box: box[i],
    mask: masks[i],
  }));
}

/**
 * Checks that every coordinate lies inside the image; its right and bottom edge count as inside, and so does half a pixel
 * outside, which predict moves to the edge.
 *
 * @throws UsageError
 */
export function checkInside({ point = [], box = [] }: PromptOptions, { width, height }: Size): void {
  const check = (option: string, values: readonly number[], x: number, y: number) => {
    if (clipped(x, width) !== undefined && clipped(y, height) !== undefined) return;
    throw new UsageError(
      `Expected coordinates inside the image of ${sizeText({ width, height })} for ${option} but received ${values.join(',')}`,
    );
  };
  for (const [x, y] of point) check('--point', [x, y], x, y);
  for (const values of box) {
    check('--box', values, values[0], values[1]);
    check('--box', values, values[2], values[3]);
    // Off the edge by less than half a pixel, and on it.
    if (!meets(values, width, height)) check('--box', values, Number.NaN, Number.NaN);
  }
}
