// The families of image encoders, and what is asked of a configuration whichever it belongs to.
import type { Finder } from '../checkpoint/finder';
import { invalidArgument } from '../errors';
import type { Graph, Shape } from '../graph/graph';
import { imageEncoderSchema } from '../options/graph';
import { parse } from '../options/validate';
import type { AttentionTraits } from './ba-sam';
import type { EncoderFamily, ImageEncoderOptions, InferenceOptions, WeightSource } from './encoder';
import { vit } from './vit';
import { VIT_VARIANTS } from './vit/variants';

/** Every family, under the name that its configurations carry. Another family is one entry more. */
export const FAMILIES = { vit };

/** Published encoders, by name: for who needs one without its checkpoint. */
export const VARIANTS = { ...VIT_VARIANTS };

type Family = keyof typeof FAMILIES;
type ConfigOf<F extends Family> = ReturnType<(typeof FAMILIES)[F]['infer']>;
/** A configuration of one of the families `F`, so that the compiler sees that it goes with the family of its name. */
type ConfigIn<F extends Family> = { [N in F]: ConfigOf<N> & { readonly family: N } }[F];
const families: { readonly [F in Family]: EncoderFamily<ConfigIn<F>> } = FAMILIES;

/** The configuration of an image encoder of any family; `family` tells which. */
export type SamEncoderConfig = ConfigIn<Family>;

/**
 * The configuration of the encoder among these tensors. Without any family's anchor it is looked for as the ViT, whose error
 * says what is missing.
 *
 * @throws SamError ERR_CHECKPOINT; ERR_INVALID_ARGUMENT for options that do not go with the model
 */
export function inferEncoder(found: Finder, options: InferenceOptions): SamEncoderConfig {
  const isThere = ({ namings }: (typeof families)[Family]) =>
    found.has(`image_encoder.${namings.official.anchor}`);
  return (Object.values(families).find(isThere) ?? vit).infer(found, options);
}

/**
 * An image encoder: pixels → image_embeddings [B, outChannels, Gh, Gw] f32, then one output per tap.
 *
 * @throws SamError ERR_INVALID_ARGUMENT, also when a setting has no meaning at this size
 */
export function imageEncoder<F extends Family>(config: ConfigIn<F>, options: ImageEncoderOptions): Graph {
  const family = families[config?.family];
  if (!family) {
    throw invalidArgument(
      'config',
      `configuration of an image encoder (${Object.keys(families).join(', ')})`,
      config,
    );
  }
  parse(imageEncoderSchema, options, 'options');
  return family.graph(config, options);
}

/** What a weight of the encoder's graphs is made of, if not of the tensor of its name. */
export function encoderSource(
  { family }: SamEncoderConfig,
  name: string,
  shape: Shape,
): WeightSource | undefined {
  return families[family].source?.(name, shape);
}

/** What BA-SAM's settings act on. */
export function attentionOf<F extends Family>(config: ConfigIn<F>): AttentionTraits {
  return families[config.family].attention(config);
}

/** What SAM-HQ takes from the encoder on the way, if it has that. */
export function earlyFeature<F extends Family>(
  config: ConfigIn<F>,
): { readonly tap: string; readonly channels: number } | undefined {
  return families[config.family].early?.(config);
}

/** Rows for people, each a name and a text. */
export function describeEncoder<F extends Family>(
  config: ConfigIn<F>,
): readonly (readonly [string, string])[] {
  return families[config.family].describe(config);
}
