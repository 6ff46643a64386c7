// What an image encoder is to the rest of the library: a family of models. A checkpoint's tensors tell the configuration of
// one, and the configuration makes its graphs. lib/model/families.ts lists the families.
import type { Finder } from '../checkpoint/finder';
import type { Graph, Shape } from '../graph/graph';
import type { CheckpointOptions } from '../options/checkpoint';
import type { AttentionTraits, ResolvedSettings } from './ba-sam';
import type { ComputeDType } from './weights';

/** What configurations of every family say; a family adds its own. Sizes in tokens or channels unless the name says px. */
export interface EncoderConfig {
  /** Name of the family. */
  readonly family: string;
  /** Side of what becomes one token of the embedding, in px: the input's sides are multiples of it. */
  readonly patch: number;
  /** Side of the token grid of training; n0 = trainedGrid². */
  readonly trainedGrid: number;
  /** Side of the image of training: `trainedGrid * patch`. */
  readonly trainedSide_px: number;
  /** Channels of the image embedding. */
  readonly outChannels: number;
}

/** What a graph of an image encoder is built for. */
export interface ImageEncoderOptions {
  /** B, images per run. */
  batch: number;
  /** Token grid; the input is `h · patch` × `w · patch` px. */
  grid: { h: number; w: number };
  settings: ResolvedSettings;
  /** Dtype of the matrix products. The residual stream and the normalisations stay in f32. */
  dtype: ComputeDType;
  /** The blocks' linear layers round their operands to 8 bits (e4m3). Default false. */
  f8?: boolean;
  /**
   * What the graph takes. `normalised` (default): pixel_values [B, 3, H, W] f32. `photograph`: image [B, H, W, 3] u8 and
   * content [B, 2] i32, height and width of what the canvas holds; it is normalised inside and 0 outside.
   */
  pixels?: 'normalised' | 'photograph';
  /** Also returns values on the way, under the names that the family gives them. */
  taps?: readonly string[];
}

/** Keys of an encoder as one kind of file has them. */
export interface EncoderNaming {
  /** How the name of one tensor ends that every such encoder has and nothing else in a checkpoint: files are recognised by it. */
  readonly anchor: string;
  /** The official name of a key of the encoder; absent where names are the official ones. */
  readonly rename?: (name: string) => string;
}

/** Tensors of a file that become one weight of the graphs. */
export interface WeightSource {
  /** Under official names. */
  readonly tensors: readonly { readonly name: string; readonly shape: Shape }[];
  /** The weight from the tensors' elements, in f32; absent where it is the only tensor as it is. */
  readonly make?: (tensors: readonly Float32Array[]) => Float32Array;
}

/** What a user knows about a model that its tensors do not tell. */
export type InferenceOptions = Pick<CheckpointOptions, 'globalBlocks'>;

/** A family of image encoders. */
export interface EncoderFamily<C extends EncoderConfig> {
  /** Keys as the official repository has them, and as Hugging Face has them where it has the family. */
  readonly namings: { readonly official: EncoderNaming; readonly huggingface?: EncoderNaming };
  /**
   * The configuration that the tensors' shapes tell. Bounds everything that a graph's size depends on; the weights are
   * checked afterwards, against those of the graph.
   *
   * @throws SamError ERR_CHECKPOINT; ERR_INVALID_ARGUMENT for options that do not go with the model
   */
  infer(found: Finder, options: InferenceOptions): C;
  /**
   * Pixels → image_embeddings [B, outChannels, Gh, Gw] f32, then one output per tap. Names of weights begin with
   * `image_encoder.`.
   *
   * @throws SamError ERR_INVALID_ARGUMENT when a setting has no meaning at this size
   */
  graph(config: C, options: ImageEncoderOptions): Graph;
  /** What a weight of the graph is made of, if not of the tensor of its name: a convolution with the normalisation after it. */
  source?(name: string, shape: Shape): WeightSource | undefined;
  /** What BA-SAM's settings act on. */
  attention(config: C): AttentionTraits;
  /**
   * What SAM-HQ takes from the encoder on the way: the tap of the tokens after its first global block [B, Gh, Gw, channels];
   * undefined where there is none.
   */
  early?(config: C): { readonly tap: string; readonly channels: number } | undefined;
  /** Rows for people: structure, attention and what else `ba-sam info` should print of it. */
  describe(config: C): readonly (readonly [name: string, text: string])[];
}
