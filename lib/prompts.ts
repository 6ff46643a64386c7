// Prompts: what the user may give, checked and turned into the decoder's tokens.
import type { Embedding } from './embedding';
import { SamError } from './errors';
import { LABEL } from './model/decoder/prompt-encoder';
import { clipped, meets, type Prompt, type PromptPoint, promptSchema } from './options/prompt';
import { parse } from './options/validate';
import { sizeText } from './size';

export type { Prompt, PromptPoint };

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
  const { points = [], box, mask } = parse(promptSchema, value, name);
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
    const insideX = clipped(x, image.width);
    const insideY = clipped(y, image.height);
    if (insideX === undefined || insideY === undefined) {
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        `Expected coordinates inside the image of ${sizeText(image)} for ${name}.${what} but received ${x}, ${y}`,
      );
    }
    coords.push(insideX * scaleX, insideY * scaleY);
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
    if (!meets(box, image.width, image.height)) {
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        `Expected a box inside the image of ${sizeText(image)} for ${name}.box but received ${box.join(', ')}`,
      );
    }
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
  // A copy: the caller may go on with its own before the decoder's turn comes.
  return { coords, labels, mask: mask && new Float32Array(mask) };
}
