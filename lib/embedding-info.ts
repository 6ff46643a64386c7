// What an embedding says about itself, and whether that agrees with its tensor, with itself and with a model.
import { z } from 'zod';
import { SamError } from './errors';
import { inputGeometry, MAX_LONGEST_SIDE } from './image/resize';
import type { ResolvedSettings } from './model/ba-sam';
import type { SamConfig } from './model/config';
import { attentionOf } from './model/families';
import { dtype } from './options/compute';
import { distanceShape, MAX_HEADS, metric, mode, slope } from './options/settings';
import { parse, unchanged } from './options/validate';
import { type Size, sizeText } from './size';

/** How an image came to be this embedding. */
export interface EmbeddingInfo {
  /** The photograph: prompts and masks are in its pixels. */
  readonly image: Size;
  /** The photograph scaled to the encoder's input, without padding. */
  readonly content: Size;
  /** The encoder's input, padding included. */
  readonly input: Size;
  readonly settings: ResolvedSettings;
  /** Dtype that the encoder computed in. */
  readonly dtype: 'f32' | 'bf16' | 'f16';
  /** Whether its linear layers had operands of 8 bits; default false. */
  readonly f8?: boolean;
  /** What errors call it: the path of the image or of the embedding's file. Not saved. */
  readonly name?: string;
}

/** [batch, channels, gridH, gridW]. */
export type EmbeddingShape = readonly [batch: number, channels: number, gridH: number, gridW: number];

const MAX_ELEMENTS = 2 ** 31;
const side = z
  .int()
  .min(1)
  .max(2 ** 24);
const size = z.strictObject({ width: side, height: side });
const positive = z.int().min(1).max(MAX_ELEMENTS);

const savedShape = {
  image: size,
  content: size,
  input: size,
  dtype,
  f8: z.boolean().optional(),
  settings: z.strictObject({
    mode,
    lengthScale: z.boolean(),
    distance: z
      .strictObject({
        metric,
        slopes: unchanged(z.array(slope).min(1).max(MAX_HEADS)),
        start: distanceShape.start.unwrap(),
      })
      .nullable(),
  }),
};

/** The metadata of a file. */
export const savedInfo = z.strictObject(savedShape);
/** What the constructor gets, which may be another embedding. */
const givenInfo = z.object({ ...savedShape, name: z.string().optional() });
const shapeSchema = z.tuple([positive, positive, positive, positive], {
  error: 'Expected [batch, channels, gridH, gridW] of positive integers',
});

/**
 * Checks shape and info against each other.
 *
 * @returns copies, which nobody else writes to
 * @throws SamError ERR_INVALID_ARGUMENT that names the field
 */
export function checkInfo(shape: unknown, info: unknown): { shape: EmbeddingShape; info: EmbeddingInfo } {
  const checked = parse(shapeSchema, shape, 'shape');
  const given = parse(givenInfo, info, 'info');
  const { image, content, input, settings } = given;
  const fail = (expected: string, field: string, received: string | number) => {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected ${expected} for info.${field} but received ${received}`,
    );
  };
  const [, , gridH, gridW] = checked;
  const patch = input.width / gridW;
  if (!Number.isInteger(patch) || input.height !== gridH * patch) {
    fail(`a multiple of the grid of ${gridW} × ${gridH} tokens`, 'input', sizeText(input));
  }
  for (const name of ['width', 'height'] as const) {
    if (content[name] > input[name])
      fail(`at most ${input[name]} like info.input`, `content.${name}`, content[name]);
  }
  const longestSide = Math.max(content.width, content.height);
  // Pixel values are used at any size; beyond the limit nothing scales an image.
  const scaled = longestSide <= MAX_LONGEST_SIDE ? scaledSize(image, longestSide) : image;
  // Within rounding: others round halves in another way.
  if (Math.abs(content.width - scaled.width) > 1 || Math.abs(content.height - scaled.height) > 1) {
    fail(`${sizeText(scaled)} like an image of ${sizeText(image)}`, 'content', sizeText(content));
  }
  if (settings.mode === 'released-code' && settings.distance !== null) {
    fail('null in mode released-code', 'settings.distance', 'a distance penalty');
  }
  return { shape: checked, info: given };
}

/**
 * Checks that an embedding can be of this model.
 *
 * @throws SamError ERR_INVALID_ARGUMENT that names the field
 */
export function checkModel(
  embedding: EmbeddingInfo & { readonly shape: EmbeddingShape; readonly hqFeatures?: Float32Array },
  config: SamConfig,
): void {
  const { shape, input, settings } = embedding;
  const [, channels, gridH, gridW] = shape;
  const fail = (expected: string, field: string, received: unknown) => {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected ${expected} for embedding.${field} but received ${received}`,
    );
  };
  if (channels !== config.outChannels) fail(`${config.outChannels} like the model's`, 'channels', channels);
  const expected = { width: gridW * config.patch, height: gridH * config.patch };
  if (input.width !== expected.width || input.height !== expected.height) {
    fail(`${sizeText(expected)} (patches of ${config.patch} px)`, 'input', sizeText(input));
  }
  if (config.decoder?.hq && !embedding.hqFeatures) {
    fail('the features of SAM-HQ, which the model takes,', 'hqFeatures', 'none: it is one of a plain SAM');
  }
  const { heads } = attentionOf(config);
  const slopes = settings.distance?.slopes.length;
  if (slopes !== undefined && slopes !== heads) {
    const wanted = heads === null ? 'none: the model has no attention over all tokens' : `${heads} of them`;
    fail(wanted, 'settings.distance.slopes', slopes);
  }
}

function scaledSize({ width, height }: Size, longestSide: number): Size {
  const { scaledWidth, scaledHeight } = inputGeometry({ width, height, longestSide, pad: false, patch: 1 });
  return { width: scaledWidth, height: scaledHeight };
}
