// Prompts: what the user may give, checked and turned into the decoder's tokens.
import { z } from 'zod';
import type { Embedding } from './embedding';
import { SamError } from './errors';
import { LABEL } from './model/decoder/prompt-encoder';
import { float32Array, parse } from './validate';

/** A point in pixels of the photograph; label 1 (default) is foreground, 0 background. */
export type PromptPoint = readonly [x: number, y: number, label?: 0 | 1];

/** One prompt gives one mask (three with `multimask`). Its parts may be mixed freely; at least one must be there. */
export interface Prompt {
  points?: readonly PromptPoint[];
  /** Corners in pixels of the photograph, x0 < x1 and y0 < y1. */
  box?: readonly [x0: number, y0: number, x1: number, y1: number];
  /** Low-resolution logits [4·gridH, 4·gridW] of an earlier prediction on an embedding of the same grid. */
  mask?: Float32Array;
}

const coordinate = z.number();
const promptSchema = z.strictObject({
  points: z
    .array(
      z.union(
        [
          z.tuple([coordinate, coordinate]).readonly(),
          z.tuple([coordinate, coordinate, z.union([z.literal(0), z.literal(1)]).optional()]).readonly(),
        ],
        { error: 'Expected [x, y] or [x, y, label] with finite coordinates and label 0 or 1' },
      ),
    )
    .readonly()
    .optional(),
  box: z
    .tuple([coordinate, coordinate, coordinate, coordinate], {
      error: 'Expected [x0, y0, x1, y1] of finite numbers',
    })
    .readonly()
    .optional(),
  mask: float32Array.optional(),
});

/** A prompt as tokens in px of the encoder's input. */
export interface PromptTokens {
  readonly coords: readonly number[];
  readonly labels: readonly number[];
  readonly mask?: Float32Array;
}

/**
 * Checks a prompt and scales it to the encoder's input. A prompt without a box gets SAM's pad point, also when it has
 * a mask; a prompt of a mask alone has no tokens.
 * Source: SamPredictor.predict_torch and PromptEncoder._embed_points of segment_anything.
 *
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function promptTokens(value: unknown, embedding: Embedding, name: string): PromptTokens {
  const prompt: Prompt = parse(promptSchema as z.ZodType<Prompt>, value, name);
  const { points = [], box, mask } = prompt;
  if (points.length === 0 && !box && !mask) {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected points, a box or a mask for ${name} but received none`,
    );
  }
  const { image, content } = embedding;
  const scaleX = content.width / image.width;
  const scaleY = content.height / image.height;
  const coords: number[] = [];
  const labels: number[] = [];
  const add = (x: number, y: number, label: number, what: string) => {
    if (!(x >= 0 && x <= image.width && y >= 0 && y <= image.height)) {
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        `Expected coordinates inside the image of ${image.width} × ${image.height} px for ${name}.${what} but received ${x}, ${y}`,
      );
    }
    coords.push(x * scaleX, y * scaleY);
    labels.push(label);
  };
  for (const [i, [x, y, label = LABEL.foreground]] of points.entries()) add(x, y, label, `points.${i}`);
  if (box) {
    const [x0, y0, x1, y1] = box;
    if (!(x0 < x1 && y0 < y1)) {
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        `Expected x0 < x1 and y0 < y1 for ${name}.box but received ${box.join(', ')}`,
      );
    }
    add(x0, y0, LABEL.boxTopLeft, 'box');
    add(x1, y1, LABEL.boxBottomRight, 'box');
  } else if (points.length > 0) {
    coords.push(0, 0);
    labels.push(LABEL.notAPoint);
  }
  if (mask) {
    const { gridH, gridW } = embedding;
    if (mask.length !== 16 * gridH * gridW) {
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        `Expected low-resolution logits [${4 * gridH}, ${4 * gridW}] for ${name}.mask but received ${mask.length} values`,
      );
    }
    if (!mask.every(Number.isFinite)) {
      throw new SamError('ERR_INVALID_ARGUMENT', `Expected finite logits for ${name}.mask`);
    }
  }
  return { coords, labels, mask };
}
