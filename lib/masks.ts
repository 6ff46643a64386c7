// Masks as the caller gets them, from what the mask decoder computes.
import type { NativeRle } from './addon';
import type { Embedding } from './embedding';
import { inBands } from './image/bands';
import type { Rle } from './image/rle';

/** One mask. */
export interface Mask {
  /** [height, width], 1 inside, 0 outside; empty with `fullSize: false` or `format: 'rle'`. */
  readonly data: Uint8Array;
  /** The same as `encodeRle` makes of it. With `format: 'rle'` only, as the two below. */
  readonly rle?: Rle;
  /** Pixels inside. */
  readonly area?: number;
  /** [x, y, width, height] in px, as `maskBox` gives it. */
  readonly bbox?: readonly [x: number, y: number, width: number, height: number];
  /** [height, width] of the photograph, f32: inside is above 0, the sigmoid is a probability. With `logits: true` only. */
  readonly logits?: Float32Array;
  readonly width: number;
  readonly height: number;
  /** The model's own estimate of the IoU with the true object. */
  readonly score: number;
  /** Logits [lowResHeight, lowResWidth] = [4·gridH, 4·gridW]: the next call's mask prompt. */
  readonly lowRes: Float32Array;
  readonly lowResWidth: number;
  readonly lowResHeight: number;
}

/** The masks of one prompt. */
export interface Prediction {
  /** One mask, or three with `multimask`, in the decoder's order. */
  readonly masks: readonly Mask[];
  /** The mask with the highest score. */
  readonly best: Mask;
}

/** What the decoder gives for a batch of prompts. */
export interface Decoded {
  /** Logits [prompts, masks per prompt, 4·gridH, 4·gridW]. */
  readonly low: Float32Array;
  /** [prompts, masks per prompt]. */
  readonly scores: Float32Array;
  readonly count: number;
  readonly perPrompt: number;
}

/** What a batch of prompts has at the photograph's size: [prompts, masks per prompt, height, width]. */
export interface FullSize {
  masks?: Uint8Array;
  logits?: Float32Array;
  /** [prompts, masks per prompt]. */
  rles?: readonly NativeRle[];
}

/** 1 where a logit is above 0: SAM's masks. */
export function aboveZero(logits: Float32Array): Uint8Array {
  const masks = new Uint8Array(logits.length);
  markAboveZero(masks, logits, 0, logits.length);
  return masks;
}

/** The same for large arrays, with other events in between. */
export async function aboveZeroInBands(logits: Float32Array): Promise<Uint8Array> {
  const masks = new Uint8Array(logits.length);
  await inBands(logits.length, 65_536, (begin, end) => markAboveZero(masks, logits, begin, end));
  return masks;
}

function markAboveZero(masks: Uint8Array, logits: Float32Array, begin: number, end: number): void {
  for (let i = begin; i < end; i++) masks[i] = logits[i] > 0 ? 1 : 0;
}

/**
 * What belongs to one prompt of a batch, in memory of its own: who keeps or transfers one prediction does nothing to those that
 * follow.
 */
export function rowOf({ low, scores, count, perPrompt }: Decoded, row: number): Decoded {
  const size = low.length / count;
  return {
    low: low.slice(row * size, (row + 1) * size),
    scores: scores.slice(row * perPrompt, (row + 1) * perPrompt),
    count: 1,
    perPrompt,
  };
}

/** The prediction for one prompt of a batch. */
export function collect(
  row: number,
  { low, scores, perPrompt }: Decoded,
  full: FullSize,
  embedding: Embedding,
): Prediction {
  const { width, height } = embedding.image;
  const lowResWidth = 4 * embedding.gridW;
  const lowResHeight = 4 * embedding.gridH;
  const lowSize = lowResWidth * lowResHeight;
  const masks = Array.from({ length: perPrompt }, (_, m): Mask => {
    const at = row * perPrompt + m;
    const [begin, end] = [at * width * height, (at + 1) * width * height];
    const rle = full.rles?.[at];
    return {
      data: full.masks ? full.masks.subarray(begin, end) : new Uint8Array(0),
      ...(rle && { rle: { size: [height, width], counts: rle.counts }, area: rle.area, bbox: rle.bbox }),
      ...(full.logits && { logits: full.logits.subarray(begin, end) }),
      width,
      height,
      score: scores[at],
      lowRes: low.subarray(at * lowSize, (at + 1) * lowSize),
      lowResWidth,
      lowResHeight,
    };
  });
  return { masks, best: masks.reduce((a, b) => (b.score > a.score ? b : a)) };
}
