// The configurations of SAM's three models, for benchmarks and tests that need one without its checkpoint.
import type { SamConfig } from '../model/config';
import { SAM_DECODER } from '../model/decoder/config';
import { VARIANTS } from '../model/families';
import type { ModelName } from '../options/bench';

/** What is inferred from the official checkpoint of this model. */
export function samConfig(name: ModelName): SamConfig {
  return { ...VARIANTS[name], hasDecoder: true, decoder: SAM_DECODER };
}

/** The same model without prompt encoder and mask decoder. */
export function encoderOnly(config: SamConfig): SamConfig {
  return { ...config, hasDecoder: false, decoder: null };
}
