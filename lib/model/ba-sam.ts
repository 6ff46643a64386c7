// BA-SAM's settings, checked against a model: what the attention is told for one token grid.
// Source: Song et al., "BA-SAM: Scalable Bias-Mode Attention Mask for SAM", CVPR 2024, section 3; the authors' code for
// `released-code`.
import { z } from 'zod';
import { SamError } from '../errors';
import type { Metric } from '../ops';
import {
  type BaSamSettings,
  checkMode,
  type FullPenalty,
  MAX_HEADS,
  settingsShape,
} from '../options/settings';
import { parse } from '../options/validate';

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
  const { mode, lengthScale, distance } = parse(z.strictObject(settingsShape), settings, 'settings');
  checkMode({ mode, distance });
  if (mode === 'released-code') return { mode, lengthScale: true, distance: null };
  if (heads === null && (lengthScale || distance)) {
    const what = lengthScale ? 'length scale' : 'distance penalty';
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected no ${what} for a model without attention over all tokens`,
    );
  }
  if (heads === null || !distance) return { mode, lengthScale, distance: null };
  const { metric, slopes, start } = distance;
  return { mode, lengthScale, distance: { metric, slopes: headSlopes(slopes, heads), start } };
}

/** The slope of every head. */
export function headSlopes(slopes: FullPenalty['slopes'], heads: number): readonly number[] {
  if (slopes === 'alibi') return alibiSlopes(heads);
  if (typeof slopes === 'number') return new Array<number>(heads).fill(slopes);
  if (slopes.length !== heads) {
    const received = slopes.length === 1 ? '1 in a list: give it as a number' : slopes.length;
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected 1 or ${heads} slopes (the model has ${heads} heads) but received ${received}`,
    );
  }
  return slopes;
}

/**
 * ALiBi's geometric slopes 2^(−8i/H), i = 1 … H. Source: Press et al. 2022.
 *
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function alibiSlopes(heads: number): number[] {
  parse(z.int().min(1).max(MAX_HEADS), heads, 'heads');
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
