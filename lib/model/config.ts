// A whole model, inferred from its checkpoint: nobody has to name the variant. What tensors it needs is read off its graphs,
// and every one of them is checked here, once.
import { Finder, type NamedTensors } from '../checkpoint/finder';
import type { DType, Shape, Value } from '../graph/graph';
import { PLAIN } from './ba-sam';
import { inferDecoder, type SamDecoderConfig } from './decoder/config';
import { decoderWeights } from './decoder/mask-decoder';
import type { InferenceOptions, WeightSource } from './encoder';
import { earlyFeature, encoderSource, imageEncoder, inferEncoder, type SamEncoderConfig } from './families';
import type { ComputeDType } from './weights';

/** What follows from a checkpoint's shapes: the image encoder's configuration, and the decoder's. */
export type SamConfig = SamEncoderConfig & {
  /** False for an encoder-only checkpoint. */
  readonly hasDecoder: boolean;
  /** Prompt encoder and mask decoder, or null for an encoder-only checkpoint. */
  readonly decoder: SamDecoderConfig | null;
};

/**
 * Infers a model's configuration and checks every tensor that it needs: presence, shape, and dtype f32, f16 or
 * bf16. Tensors that it does not need are not looked at.
 *
 * @param checkpoint tensors under official names
 * @throws SamError ERR_CHECKPOINT such as "sam.pth: expected image_encoder.blocks.3.attn.qkv.weight of shape
 *   [2304, 768] but found [2304, 512]"; ERR_INVALID_ARGUMENT for options that do not go with the model
 */
export function inferConfig(checkpoint: NamedTensors, options: InferenceOptions = {}): SamConfig {
  const found = new Finder(checkpoint);
  const encoder = inferEncoder(found, options);
  const decoder = inferDecoder(found, encoder.outChannels);
  if (decoder?.hq) {
    const channels = earlyFeature(encoder)?.channels ?? 0;
    if (channels !== decoder.hq.earlyChannels) {
      throw found.error(
        `expected mask_decoder.compress_vit_feat.0.weight for the ${decoder.hq.earlyChannels} channels of a global block's tokens but ` +
          `the image encoder has ${channels === 0 ? 'no global block' : `blocks of ${channels}`}`,
      );
    }
  }
  const config: SamConfig = { ...encoder, hasDecoder: decoder !== null, decoder };
  for (const { name, shape } of modelTensors(config)) found.check(name, shape);
  return config;
}

/** A weight of a model's graphs, and what it is made of. */
export interface ModelWeight extends WeightSource {
  readonly name: string;
  readonly shape: Shape;
  /** The dtype it is kept in. */
  readonly dtype: DType;
}

/** Every weight that the graphs of a model ask for. @param dtype what the image encoder computes in */
export function modelWeights(config: SamConfig, dtype: ComputeDType): ModelWeight[] {
  const grid = { h: config.trainedGrid, w: config.trainedGrid };
  const encoder = imageEncoder(config, { batch: 1, grid, settings: PLAIN, dtype }).weights.map(asItIs);
  return [
    ...encoder.map((weight) => ({ ...weight, ...encoderSource(config, weight.name, weight.shape) })),
    ...(config.decoder ? decoderWeights(config.decoder).map(asItIs) : []),
  ];
}

function asItIs({ name, shape, dtype }: Value): ModelWeight {
  return { name: name!, shape, dtype, tensors: [{ name: name!, shape }] };
}

/** Every tensor that a checkpoint of this model has, under its official name. */
export function modelTensors(config: SamConfig): WeightSource['tensors'] {
  return modelWeights(config, 'f32').flatMap(({ tensors }) => tensors);
}
