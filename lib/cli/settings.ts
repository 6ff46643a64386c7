// What the flags that encode and segment share say to the library.
import type { z } from 'zod';
import type { encodingShape } from '../options/commands';
import type { ComputeOptions } from '../options/compute';
import type { WithoutDefaults } from '../options/option';
import { type BaSamSettings, checkMode } from '../options/settings';

/** The options that both commands have; what was not given is absent. */
export type EncodingOptions = z.output<z.ZodObject<WithoutDefaults<typeof encodingShape>>>;

/** What `Sam.load` gets besides the settings. */
export function computeOf({ device, dtype, tf32, f8 }: EncodingOptions): ComputeOptions {
  return { device, dtype, tf32, f8 };
}

/**
 * BA-SAM's settings that the options ask for.
 *
 * @throws SamError ERR_INVALID_ARGUMENT for combinations that make no sense with any model
 */
export function settingsOf({ mode, lengthScale, distance }: EncodingOptions): BaSamSettings {
  checkMode({ mode, distance }, (option) => `--${option}`);
  return { mode, lengthScale, distance };
}
