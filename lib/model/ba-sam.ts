// BA-SAM's settings: what the user may say, and what the attention is told for one token grid.
// Source: Song et al., "BA-SAM: Scalable Bias-Mode Attention Mask for SAM", CVPR 2024, section 3; the authors' code for
// `released-code`.
import { z } from 'zod';
import { SamError } from '../errors';
import { METRICS, type Metric } from '../graph/ops';
import { parse } from '../validate';

/** The distance penalty (bias-mode attention mask), added to the logits of global attention as −slope · distance. */
export interface DistancePenalty {
  /** How distance on the token grid is measured. */
  metric: 'manhattan' | 'euclidean' | 'chebyshev';
  /** One slope for all heads, one per head, or `alibi`: 2^(−8i/H) for head i = 1 … H. At least 0. */
  slopes: number | readonly number[] | 'alibi';
  /** Distance in tokens, per axis, that costs nothing. Default 0. */
  start?: number;
}

/** BA-SAM's settings. All off (the default) is plain SAM. */
export interface BaSamSettings {
  /**
   * `paper` (default): length scale and distance penalty as set here. `released-code`: what the authors' repository
   * computes instead: the factor ln(k²·4096) / ln 4096 with k = ⌊longest side / 1024⌋, and no distance penalty. The
   * numbers of the two modes are not comparable.
   */
  mode?: 'paper' | 'released-code';
  /** The new scaling factor ln(N) / ln(n0) on q·k in global attention. Default false. */
  lengthScale?: boolean;
  /** The distance penalty; absent = none. */
  distance?: DistancePenalty;
}

/**
 * Settings for a model that was trained without any of them, at other sizes than the trained one: what came out best in
 * docs/resolution-study.md for the bundled model. Another model may want other slopes; `ba-sam evaluate` compares.
 *
 * @example
 *   await sam.encode('photo.jpg', { longestSide: 2048, ...ZERO_SHOT });
 */
export const ZERO_SHOT = {
  lengthScale: true,
  distance: { metric: 'euclidean', slopes: 0.1, start: 0 },
} as const satisfies BaSamSettings;

// Beyond this, slope · distance overflows f32 and the attention would give NaN.
const MAX_PENALTY = 1e30;
const slope = z.number().min(0).max(MAX_PENALTY);
const METRIC_NAMES = METRICS.filter((name) => name !== 'none') as Exclude<Metric, 'none'>[];

/** Shape of {@link BaSamSettings}, to be spread into the option objects that carry it. */
export const settingsShape = {
  mode: z.enum(['paper', 'released-code']).optional(),
  lengthScale: z.boolean().optional(),
  distance: z
    .strictObject({
      metric: z.enum(METRIC_NAMES),
      slopes: z.union([slope, z.array(slope).min(1).readonly(), z.literal('alibi')], {
        error: 'Expected a number of at least 0, an array of them (one per head) or "alibi"',
      }),
      start: z.number().min(0).max(MAX_PENALTY).optional(),
    })
    .optional(),
};

/** What the settings act on in an image encoder. */
export interface AttentionTraits {
  /** Heads of the layers that attend over all tokens; null where no layer does: windows keep their length at any size. */
  readonly heads: number | null;
  /** Side of the token grid of training; n0 = trainedGrid². */
  readonly trainedGrid: number;
  /** Token count that BA-SAM's released code takes for the trained grid. */
  readonly releasedCodeTokens: number;
}

/** Settings with every default filled in and slopes for every head. */
export interface ResolvedSettings {
  readonly mode: 'paper' | 'released-code';
  readonly lengthScale: boolean;
  readonly distance: {
    readonly metric: Exclude<Metric, 'none'>;
    readonly slopes: readonly number[];
    readonly start: number;
  } | null;
}

/** Plain SAM. */
export const PLAIN: ResolvedSettings = { mode: 'paper', lengthScale: false, distance: null };

/**
 * Checks settings against a model.
 *
 * @throws SamError ERR_INVALID_ARGUMENT: wrong number of slopes, a distance penalty in `released-code` mode, …
 */
export function resolveSettings(
  settings: BaSamSettings,
  { heads }: Pick<AttentionTraits, 'heads'>,
): ResolvedSettings {
  const {
    mode = 'paper',
    lengthScale = false,
    distance,
  } = parse(z.strictObject(settingsShape), settings, 'settings');
  if (mode === 'released-code') {
    if (distance) {
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        'Expected no distance penalty in mode released-code: the released code has none; use mode paper',
      );
    }
    return { mode, lengthScale: true, distance: null };
  }
  if (heads === null && (lengthScale || distance)) {
    const what = lengthScale ? 'length scale' : 'distance penalty';
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected no ${what} for a model without attention over all tokens`,
    );
  }
  if (heads === null || !distance) return { mode, lengthScale, distance: null };
  const { metric, start = 0 } = distance;
  return { mode, lengthScale, distance: { metric, slopes: headSlopes(distance.slopes, heads), start } };
}

function headSlopes(slopes: DistancePenalty['slopes'], heads: number): readonly number[] {
  if (slopes === 'alibi') return alibiSlopes(heads);
  if (typeof slopes === 'number') return new Array<number>(heads).fill(slopes);
  if (slopes.length !== heads) {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected 1 or ${heads} slopes (the model has ${heads} heads) but received ${slopes.length}`,
    );
  }
  return slopes;
}

/** ALiBi's geometric slopes 2^(−8i/H), i = 1 … H. Source: Press et al. 2022. */
export function alibiSlopes(heads: number): number[] {
  return Array.from({ length: heads }, (_, i) => 2 ** ((-8 * (i + 1)) / heads));
}

const RELEASED_CODE_SIDE_PX = 1024;

/**
 * The factor on q·k besides 1/√D: of global attention in mode paper, of every layer that the released code changes in mode
 * released-code.
 *
 * @param grid token grid; @param input size of the encoder's input in px, padding included
 * @throws SamError ERR_INVALID_ARGUMENT when the mode has no factor for this size
 */
export function lengthFactor(
  settings: ResolvedSettings,
  { trainedGrid, releasedCodeTokens }: Omit<AttentionTraits, 'heads'>,
  grid: { h: number; w: number },
  input: { width: number; height: number },
): number {
  if (settings.mode === 'released-code') {
    const side = Math.max(input.width, input.height);
    const k = Math.floor(side / RELEASED_CODE_SIDE_PX);
    if (k === 0) {
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        `Expected a longest side of at least ${RELEASED_CODE_SIDE_PX} px in mode released-code but received ${side}`,
      );
    }
    return Math.log(k * k * releasedCodeTokens) / Math.log(releasedCodeTokens);
  }
  if (!settings.lengthScale) return 1;
  const trained = trainedGrid ** 2;
  if (trained === 1) {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      'Expected a model trained on more than one token for the length scale',
    );
  }
  // Exactly 1 at the trained grid: the length scale then changes nothing, bit for bit.
  return Math.log(grid.h * grid.w) / Math.log(trained);
}

/** A short, stable text of settings: part of plan keys and of saved embeddings. */
export function settingsKey(settings: ResolvedSettings): string {
  const { mode, lengthScale, distance } = settings;
  const penalty = distance ? `${distance.metric}:${distance.slopes.join(',')}:${distance.start}` : 'none';
  return `${mode}/${lengthScale ? 'length-scale' : 'plain'}/${penalty}`;
}
