// BA-SAM's settings as a user says them; lib/model/ba-sam.ts checks them against a model.
import { z } from 'zod';
import { SamError } from '../errors';
import { METRICS } from '../ops';
import { incomplete, type OptionsOf, spelled, withoutDefaults } from './option';
import { numberList, unchanged } from './validate';

export const mode = z.enum(['paper', 'released-code']);
export const metric = z.enum(METRICS).exclude(['none']);

// Beyond this, slope · distance overflows f32 and the attention would give NaN.
const MAX_PENALTY = 1e30;
/** Attention heads that a model may have. */
export const MAX_HEADS = 4096;

/** One slope of a distance penalty. */
export const slope = z.number().min(0).max(MAX_PENALTY);

const slopeList = unchanged(z.array(slope).min(1));
// Apart from the list, which the command line reads item by item.
const typedSlopes = numberList(slopeList);

/** The slope of a distance penalty that is given none: what came out best in docs/resolution-study.md. */
export const DEFAULT_SLOPE = 0.1;

export const distanceShape = {
  /** How distance on the token grid is measured. */
  metric: spelled(metric, '--distance <metric>', "BA-SAM's penalty on distance in global attention"),
  /**
   * One slope for all heads, one per head (an array or typed array), or `alibi`: 2^(−8i/H) for head i = 1 … H. At least 0.
   * Default 0.1, which came out best in docs/resolution-study.md.
   */
  slopes: spelled(
    z.union([z.literal('alibi'), slope, typedSlopes, slopeList], {
      error: 'Expected a number of at least 0, an array or typed array of them (one per head) or "alibi"',
    }),
    '--slopes <slopes>',
    'alibi, one number, or one per head: X,X,…',
  ).default(DEFAULT_SLOPE),
  /** Distance in tokens, per axis, that costs nothing. Default 0. */
  start: spelled(
    z.number().min(0).max(MAX_PENALTY),
    '--start <tokens>',
    'distance per axis that costs nothing',
  ).default(0),
};

/** The distance penalty (bias-mode attention mask), added to the logits of global attention as −slope · distance. */
export interface DistancePenalty extends OptionsOf<typeof distanceShape> {}

/** The same with its defaults filled in. */
export type FullPenalty = z.output<z.ZodObject<typeof distanceShape>>;

export const distance: z.ZodType<FullPenalty, DistancePenalty> = incomplete(
  z.strictObject(distanceShape),
  'without a metric there is no distance penalty',
);

export const settingsShape = {
  /**
   * `paper` (default): length scale and distance penalty as set here. `released-code`: what the authors' repository
   * computes instead: the factor ln(k²·4096) / ln 4096 with k = ⌊longest side / 1024⌋, and no distance penalty. The
   * numbers of the two modes are not comparable.
   */
  mode: spelled(mode, '--mode <mode>', '').default('paper'),
  /** The new scaling factor ln(N) / ln(n0) on q·k in global attention. Default false. */
  lengthScale: spelled(
    z.boolean(),
    '--length-scale',
    "BA-SAM's scaling factor ln(N) / ln(N of training)",
  ).default(false),
  /** The distance penalty; absent = none. */
  distance: distance.optional(),
};

/** BA-SAM's settings. All off (the default) is plain SAM. */
export interface BaSamSettings extends OptionsOf<typeof settingsShape> {}

/** Settings that others come before or after: nothing is filled in. */
export const openSettings = withoutDefaults(settingsShape);

/**
 * Settings for a model that was trained without any of them, at other sizes than the trained one: what came out best in
 * docs/resolution-study.md for the bundled model. Another model may want other slopes; `ba-sam evaluate` compares.
 *
 * @example
 *   await sam.encode('photo.jpg', { longestSide: 2048, ...ZERO_SHOT });
 */
export const ZERO_SHOT = {
  lengthScale: true,
  distance: { metric: 'euclidean', slopes: DEFAULT_SLOPE, start: 0 },
} as const satisfies BaSamSettings;

/**
 * Checks what goes together.
 *
 * @param called what errors call an option
 * @throws SamError ERR_INVALID_ARGUMENT for a distance penalty in mode `released-code`
 */
export function checkMode({ mode, distance }: BaSamSettings, called = (option: string) => option): void {
  if (mode !== 'released-code' || !distance) return;
  throw new SamError(
    'ERR_INVALID_ARGUMENT',
    `Expected no ${called('distance')} together with ${called('mode')} released-code: the released code has no distance ` +
      'penalty',
  );
}
