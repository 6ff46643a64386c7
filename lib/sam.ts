// The library's main class: load a checkpoint, encode images, predict masks.
import path from 'node:path';
import { openSamCheckpoint } from './checkpoint/keys';
import { resolveCompute } from './device';
import { Embedding } from './embedding';
import { checkModel } from './embedding-info';
import { ImageEncoder, type PixelValues } from './encoding';
import { invalidArgument, SamError } from './errors';
import { Session } from './graph/session';
import type { ImageInput } from './image/types';
import type { Mask, Prediction } from './masks';
import { resolveSettings } from './model/ba-sam';
import type { SamConfig } from './model/config';
import { attentionOf } from './model/families';
import { loadWeights } from './model/load-weights';
import type { ComputeDType } from './options/compute';
import {
  type EncodeOptions,
  encodeSchema,
  type LoadOptions,
  loadSchema,
  type PredictOptions,
  predictSchema,
  segmentSchema,
  type UpsampleOptions,
  upsampleSchema,
} from './options/sam';
import type { BaSamSettings } from './options/settings';
import { isTypedArray, parse } from './options/validate';
import { MaskPredictor } from './prediction';
import { type Prompt, promptTokens } from './prompts';

/** Path of the small model that comes with the package (6 blocks, trained at 256 × 256 px). */
export const BUNDLED_MODEL = path.join(path.dirname(__dirname), 'models', 'sam-nano.safetensors');

/**
 * A Segment Anything model on one device.
 *
 * @example
 *   const sam = await Sam.load('sam_vit_b.pth', { dtype: 'bf16' });
 *   const embedding = await sam.encode('photo.jpg', { longestSide: 2048, pad: false, lengthScale: true });
 *   const { best } = await sam.predict(embedding, { points: [[320, 200]] });
 *   await sam.dispose();
 */
export class Sam implements AsyncDisposable {
  private readonly encoder: ImageEncoder;
  private predictor?: MaskPredictor;

  private constructor(
    /** What follows from the checkpoint's shapes. */
    readonly config: SamConfig,
    readonly device: 'cpu' | `cuda:${number}`,
    readonly dtype: ComputeDType,
    /** BA-SAM's settings given to `load`; a call may override them. */
    private readonly settings: BaSamSettings,
    private readonly session: Session,
    /** Whether the image encoder's linear layers have operands of 8 bits. */
    readonly f8: boolean,
    /** The checkpoint, as errors name it. */
    private readonly path: string,
  ) {
    this.encoder = new ImageEncoder(session, config, dtype, f8, path);
  }

  /**
   * Loads a checkpoint: official SAM and SAM-HQ (`.pth` or safetensors), Hugging Face `SamModel` and `SamHQModel` safetensors,
   * in one file or several, BA-SAM's released code. Tensors are streamed: the peak is about the weights' size in `dtype` plus the largest tensor.
   *
   * @param checkpoint path of a file, of an index of several files, or of the folder of either; default, also before options
   *   alone: the small bundled model
   * @throws SamError ERR_INVALID_ARGUMENT, ERR_IO, ERR_CHECKPOINT, ERR_DEVICE_UNAVAILABLE, ERR_OUT_OF_MEMORY
   */
  static load(options: LoadOptions): Promise<Sam>;
  static load(checkpoint?: string, options?: LoadOptions): Promise<Sam>;
  static async load(first: string | LoadOptions = BUNDLED_MODEL, second?: LoadOptions): Promise<Sam> {
    // By its tag: a URL or bytes are no options, though they are objects without unknown keys.
    const alone = second === undefined && Object.prototype.toString.call(first) === '[object Object]';
    const [checkpoint, options] = alone
      ? [BUNDLED_MODEL, first]
      : [first, second === undefined ? {} : second];
    if (typeof checkpoint !== 'string' || checkpoint === '') {
      throw invalidArgument('checkpoint', 'path of a checkpoint', checkpoint);
    }
    const parsed = parse(loadSchema, options, 'options');
    const { signal, onProgress, device, dtype, tf32, f8, ignoreUnknownTensors, globalBlocks, ...settings } =
      parsed;
    const compute = resolveCompute({ device, dtype, tf32, f8 });
    signal?.throwIfAborted();
    const file = await openSamCheckpoint(checkpoint, { ignoreUnknownTensors, globalBlocks });
    let session: Session | undefined;
    try {
      session = new Session({ device: compute.device, tf32: compute.tf32 });
      const { config } = file;
      resolveSettings(settings, attentionOf(config));
      await loadWeights(file, session, compute.dtype, { signal, onProgress });
      signal?.throwIfAborted();
      return new Sam(config, session.device, compute.dtype, settings, session, compute.f8, checkpoint);
    } catch (error) {
      await session?.dispose();
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Bytes of the weights in memory. */
  get weightBytes(): number {
    return this.session.weightBytes;
  }

  /**
   * Encodes an image, at any size.
   *
   * Bytes and pixels are copied: up to 8 MiB before this returns, larger ones in pieces, so that other events run in between.
   * Leave those alone until the promise is settled.
   *
   * @param image path, encoded bytes (a Blob and streams too), raw pixels, or normalised `pixelValues` [B, 3, H, W], which are
   *   used as they are
   * @throws SamError ERR_INVALID_ARGUMENT, ERR_IO, ERR_IMAGE, ERR_OUT_OF_MEMORY, ERR_DISPOSED; the signal's reason
   */
  async encode(image: ImageInput | PixelValues, options: EncodeOptions = {}): Promise<Embedding> {
    const parsed = parse(encodeSchema, options, 'options');
    const settings = resolveSettings(this.mergeSettings(parsed), attentionOf(this.config));
    parsed.signal?.throwIfAborted();
    return this.encoder.encode(image, settings, parsed);
  }

  /**
   * Predicts masks for prompts on an encoded image. Prompts of any kind may be mixed; each is decoded by itself. All results are
   * held at a time: of many prompts, or large photographs, `predictEach` gives them one by one. Lists of more than 1024
   * prompts must not change before the promise is settled.
   *
   * @returns one prediction per prompt, in order; a single one for a single prompt
   * @throws SamError ERR_INVALID_ARGUMENT, ERR_OUT_OF_MEMORY, ERR_DISPOSED; the signal's reason
   */
  predict(embedding: Embedding, prompt: Prompt, options?: PredictOptions): Promise<Prediction>;
  predict(embedding: Embedding, prompts: readonly Prompt[], options?: PredictOptions): Promise<Prediction[]>;
  async predict(
    embedding: Embedding,
    prompts: Prompt | readonly Prompt[],
    options: PredictOptions = {},
  ): Promise<Prediction | Prediction[]> {
    const predict = parse(predictSchema, options, 'options');
    const decoder = this.checkEmbedding(embedding);
    const many = Array.isArray(prompts);
    const list: readonly unknown[] = many ? Array.from(prompts) : [prompts];
    const tokensOf = (i: number) => promptTokens(list[i], embedding, many ? `prompts.${i}` : 'prompt');
    const results = await this.predictorOf(decoder).predict(embedding, list.length, tokensOf, predict);
    return many ? results : results[0];
  }

  /**
   * The same predictions one by one, in order: however many prompts there are, those of one batch (at most 64) are in memory at
   * a time, and one prompt's bitmaps. With `format: 'rle'` there are no bitmaps at all.
   *
   * @param prompts any iterable; of an async one, prompts that are there at the same time are decoded together
   * @throws SamError as `predict`; for a prompt that is wrong when it is its turn
   * @example
   *   for await (const { best } of sam.predictEach(embedding, boxes.map((box) => ({ box })), { format: 'rle' })) {
   *     console.log(best.score, best.rle);
   *   }
   */
  async *predictEach(
    embedding: Embedding,
    prompts: Iterable<Prompt> | AsyncIterable<Prompt>,
    options: PredictOptions = {},
  ): AsyncGenerator<Prediction, void, undefined> {
    const predict = parse(predictSchema, options, 'options');
    const decoder = this.checkEmbedding(embedding);
    const iterable = typeof prompts === 'object' && prompts !== null;
    if (!iterable || !(Symbol.iterator in prompts || Symbol.asyncIterator in prompts)) {
      throw invalidArgument('prompts', 'iterable of prompts', prompts);
    }
    const toTokens = (prompt: unknown, i: number) => promptTokens(prompt, embedding, `prompts.${i}`);
    yield* this.predictorOf(decoder).each(embedding, prompts, toTokens, predict);
  }

  /**
   * The logits of one mask at the photograph's size, as `predict` with `logits: true` gives them: what is wanted of few
   * masks out of many need not be computed, or held, for all.
   *
   * @param mask one of `predict` on the same embedding; only its `lowRes` is read
   * @returns [height, width] of the photograph, f32; inside is above 0
   * @throws SamError ERR_INVALID_ARGUMENT, ERR_OUT_OF_MEMORY, ERR_DISPOSED; the signal's reason
   */
  async upsampleLogits(
    embedding: Embedding,
    mask: Pick<Mask, 'lowRes'>,
    options: UpsampleOptions = {},
  ): Promise<Float32Array> {
    const { signal } = parse(upsampleSchema, options, 'options');
    const decoder = this.checkEmbedding(embedding);
    const lowRes = mask?.lowRes;
    const length = 16 * embedding.gridH * embedding.gridW;
    if (!isTypedArray(lowRes, 'Float32Array') || lowRes.length !== length) {
      throw invalidArgument('mask.lowRes', `Float32Array of ${length} values`, lowRes);
    }
    return this.predictorOf(decoder).upsample('f32', lowRes, [1, 1], embedding, { signal });
  }

  /** Encodes and predicts in one call; see {@link Sam.encode} and {@link Sam.predict}. */
  segment(image: ImageInput, prompt: Prompt, options?: EncodeOptions & PredictOptions): Promise<Prediction>;
  segment(
    image: ImageInput,
    prompts: readonly Prompt[],
    options?: EncodeOptions & PredictOptions,
  ): Promise<Prediction[]>;
  async segment(
    image: ImageInput,
    prompts: Prompt | readonly Prompt[],
    options: EncodeOptions & PredictOptions = {},
  ): Promise<Prediction | Prediction[]> {
    // All of them at once: what predict would refuse must not cost an encode first.
    const { multimask, fullSize, logits, format, ...encode } = parse(segmentSchema, options, 'options');
    const embedding = await this.encode(image, encode);
    return this.predict(embedding, prompts as Prompt, {
      multimask,
      fullSize,
      logits,
      format,
      signal: encode.signal,
      onProfile: encode.onProfile,
    });
  }

  /**
   * Frees the model. Calls in flight reject with ERR_DISPOSED; the promise resolves when native code has let go of
   * everything. Safe to call again.
   */
  dispose(): Promise<void> {
    return this.session.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  private predictorOf(decoder: NonNullable<SamConfig['decoder']>): MaskPredictor {
    this.predictor ??= new MaskPredictor(this.session, decoder, this.path);
    return this.predictor;
  }

  // A call's settings come before those of load(); a call that changes the mode starts from that mode's defaults.
  private mergeSettings(call: EncodeOptions): BaSamSettings {
    const base =
      call.mode !== undefined && call.mode !== (this.settings.mode ?? 'paper') ? {} : this.settings;
    return {
      mode: call.mode ?? base.mode,
      lengthScale: call.lengthScale ?? base.lengthScale,
      distance: call.distance === null ? undefined : (call.distance ?? base.distance),
    };
  }

  private checkEmbedding(embedding: Embedding): NonNullable<SamConfig['decoder']> {
    const { decoder } = this.config;
    if (!decoder)
      throw new SamError(
        'ERR_CHECKPOINT',
        'The checkpoint has an image encoder only: masks cannot be predicted',
      );
    if (!(embedding instanceof Embedding)) throw invalidArgument('embedding', 'Embedding', embedding);
    if (embedding.channels !== decoder.dim || embedding.batch !== 1) {
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        `Expected an embedding [1, ${decoder.dim}, Gh, Gw] but received [${embedding.shape.join(', ')}]` +
          (embedding.batch > 1 ? '; use embedding.at(index)' : ''),
      );
    }
    checkModel(embedding, this.config);
    return decoder;
  }
}
