// The options of Sam.load, encode and predict.
import { z } from 'zod';
import { callShape, profileShape } from './call';
import { checkpointShape } from './checkpoint';
import { computeShape } from './compute';
import { inputShape, padShape } from './input';
import { type OptionsOf, spelled } from './option';
import { distance, openSettings, type settingsShape } from './settings';

export const loadSchema = z.strictObject({
  ...openSettings,
  ...callShape,
  ...computeShape,
  ...checkpointShape,
});

/** Options of `Sam.load`; BA-SAM's settings are those of every call, unless it says otherwise. */
export interface LoadOptions
  extends OptionsOf<typeof settingsShape>,
    OptionsOf<typeof computeShape>,
    OptionsOf<typeof checkpointShape>,
    OptionsOf<typeof callShape> {}

const overrideShape = {
  /** Replaces the distance penalty given to `Sam.load`; null = none. */
  distance: distance.nullable().optional(),
};

export const encodeSchema = z.strictObject({
  ...openSettings,
  ...overrideShape,
  ...padShape,
  ...inputShape,
  ...callShape,
  ...profileShape,
});

/** Options of `Sam.encode`. */
export interface EncodeOptions
  extends OptionsOf<Omit<typeof settingsShape, 'distance'>>,
    OptionsOf<typeof overrideShape>,
    OptionsOf<typeof padShape>,
    OptionsOf<typeof inputShape>,
    OptionsOf<typeof callShape>,
    OptionsOf<typeof profileShape> {}

export const predictShape = {
  /** Three masks per prompt (whole, part, subpart) instead of one. Default false. */
  multimask: spelled(z.boolean(), '--multimask', 'three masks per prompt').default(false),
  /** Also scale masks to the photograph. Default true; false leaves `data` empty and saves time and memory. */
  fullSize: z.boolean().default(true),
  /**
   * What the masks of the photograph's size are: `bitmap`, `Mask.data` (default), or `rle`, `Mask.rle` with `area` and `bbox`, for
   * which no bitmap is made.
   */
  format: z.enum(['bitmap', 'rle']).default('bitmap'),
  /**
   * Also give each mask its logits at the photograph's size, `Mask.logits`: 4 bytes per pixel and mask, all held at a time.
   * `Sam.upsampleLogits` gives them one mask at a time. Default false.
   */
  logits: z.boolean().default(false),
};
export const upsampleSchema = z.strictObject({ signal: callShape.signal });

/** Options of `Sam.upsampleLogits`. */
export interface UpsampleOptions extends Pick<OptionsOf<typeof callShape>, 'signal'> {}

export const predictSchema = z.strictObject({ ...predictShape, ...callShape, ...profileShape });

export const segmentSchema = z.strictObject({ ...encodeSchema.shape, ...predictShape });

/** Options of `Sam.predict`. */
export interface PredictOptions
  extends OptionsOf<typeof predictShape>,
    OptionsOf<typeof callShape>,
    OptionsOf<typeof profileShape> {}
