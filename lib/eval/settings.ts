// What is compared: BA-SAM's settings by name, at sizes that each must be defined for.
import { z } from 'zod';
import { SamError } from '../errors';
import { lengthFactor, resolveSettings } from '../model/ba-sam';
import type { SamConfig } from '../model/config';
import { attentionOf } from '../model/families';
import { ATTENTION_SETTINGS, type AttentionSetting } from '../options/evaluate';
import { type BaSamSettings, type DistancePenalty, ZERO_SHOT } from '../options/settings';
import { parse } from '../options/validate';

/**
 * What a name means in terms of `Sam.encode`.
 *
 * @param distance the penalty of `length-scale+distance`, by default that of {@link ZERO_SHOT}; the other settings have none
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function attentionSettings(
  name: AttentionSetting,
  distance: DistancePenalty = ZERO_SHOT.distance,
): BaSamSettings {
  parse(z.enum(ATTENTION_SETTINGS), name, 'name');
  switch (name) {
    case 'plain':
      return { mode: 'paper', lengthScale: false };
    case 'length-scale':
      return { mode: 'paper', lengthScale: true };
    case 'length-scale+distance':
      return { mode: 'paper', lengthScale: true, distance };
    case 'released-code':
      return { mode: 'released-code' };
  }
}

/** One column of an evaluation: a size and an attention setting. */
export interface Cell {
  /** Length in px that the longer side of the image is scaled to. */
  readonly size: number;
  readonly attention: AttentionSetting;
}

/** Every size with every setting; sizes change slowest. */
export function cellsOf(sizes: readonly number[], attention: readonly AttentionSetting[]): Cell[] {
  return sizes.flatMap((size) => attention.map((name) => ({ size, attention: name })));
}

/**
 * Checks that every setting is defined for the model at every size. Images do not matter: the longer side of the
 * encoder's input is `size` rounded up to whole patches, padded or not.
 *
 * @throws SamError ERR_INVALID_ARGUMENT, for example for `released-code` below 1024 px
 */
export function checkCells(cells: readonly Cell[], config: SamConfig, distance?: DistancePenalty): void {
  const traits = attentionOf(config);
  for (const { size, attention } of cells) {
    const side = Math.ceil(size / config.patch) * config.patch;
    const grid = { h: side / config.patch, w: side / config.patch };
    try {
      const settings = resolveSettings(attentionSettings(attention, distance), traits);
      lengthFactor(settings, traits, grid, { width: side, height: side });
    } catch (error) {
      if (!(error instanceof SamError)) throw error;
      throw new SamError(error.code, `Attention ${attention} at size ${size}: ${error.message}`, {
        cause: error,
      });
    }
  }
}
