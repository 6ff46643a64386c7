// From an image to its embedding: decoding, resizing, the image encoder, of SAM-HQ also its features.
import type { NativeToken, TensorData } from './addon';
import { Embedding } from './embedding';
import { invalidArgument, SamError } from './errors';
import { allFinite, notFinite, notFiniteInput } from './finite';
import { elementCount } from './graph/graph';
import type { Session } from './graph/session';
import { copyInput, decodeCopy, originOf } from './image/load';
import { inputGeometry } from './image/resize';
import { giveStagingBack } from './image/staging';
import type { ImageInput } from './image/types';
import { type ResolvedSettings, settingsKey } from './model/ba-sam';
import type { SamConfig } from './model/config';
import { type HqDecoderConfig, hqFeatures, isHq } from './model/decoder/hq';
import { earlyFeature, imageEncoder } from './model/families';
import { native } from './native';
import type { ComputeDType } from './options/compute';
import type { EncodeOptions } from './options/sam';
import type { RunOptions } from './options/session';
import { isTypedArray } from './options/validate';
import type { Size } from './size';
import { copyInSlices } from './time-slice';

/** Normalised pixels, used as they are: [B, 3, H, W] f32, H and W multiples of the patch. */
export interface PixelValues {
  readonly pixelValues: Float32Array;
  readonly shape: readonly [batch: number, channels: number, height: number, width: number];
}

/** The image encoder of one model. */
export class ImageEncoder {
  constructor(
    private readonly session: Session,
    private readonly config: SamConfig,
    private readonly dtype: ComputeDType,
    private readonly f8: boolean,
    /** The checkpoint, as errors name it. */
    private readonly path: string,
  ) {}

  /**
   * Encodes an image, at any size.
   *
   * @param options checked, with their defaults
   * @throws as `Sam.encode`
   */
  async encode(
    image: ImageInput | PixelValues,
    settings: ResolvedSettings,
    options: EncodeOptions & { pad: boolean },
  ): Promise<Embedding> {
    if (typeof image === 'object' && image !== null && 'pixelValues' in image) {
      return this.encodePixels(image, settings, options);
    }
    // Its own pixels are never shown to anybody: native code reads them where they lie, on its own thread.
    const { limitInputPixels, signal } = options;
    const rgb = await decodeCopy(await copyInput(image), { limitInputPixels, signal });
    const { longestSide = this.config.trainedSide_px, pad } = options;
    const { width, height } = rgb;
    const geometry = inputGeometry({ width, height, longestSide, pad, patch: this.config.patch });
    const { scaledWidth, scaledHeight, inputWidth, inputHeight } = geometry;
    const canvas = allocateCanvas(3 * inputWidth * inputHeight);
    const cpu = native();
    const sizes = [width, height, scaledWidth, scaledHeight, inputWidth, inputHeight] as const;
    const resize = (token: NativeToken) => cpu.resizeImage(rgb.data, ...sizes, canvas, token);
    await this.session.track({ signal }, resize, cpu);
    // Not after an error: native code may still read what an aborted call gave it.
    if (rgb.data.byteOffset === 0) giveStagingBack(rgb.data.buffer);
    const pixels = [canvas, Int32Array.of(scaledHeight, scaledWidth)];
    const sizes_px = {
      image: { width, height },
      content: { width: scaledWidth, height: scaledHeight },
      input: { width: inputWidth, height: inputHeight },
    };
    const name = originOf(rgb) ?? originOf(image as object);
    return this.runEncoder('photograph', pixels, 1, settings, options, sizes_px, name);
  }

  private async encodePixels(
    image: PixelValues,
    settings: ResolvedSettings,
    options: EncodeOptions,
  ): Promise<Embedding> {
    const { pixelValues, shape } = image;
    const { patch } = this.config;
    const valid =
      Array.isArray(shape) &&
      shape.length === 4 &&
      shape.every((dim) => Number.isSafeInteger(dim) && dim > 0);
    const [batch, channels, height, width] = valid ? shape : [0, 0, 0, 0];
    if (!valid || channels !== 3 || height % patch !== 0 || width % patch !== 0) {
      throw invalidArgument('shape', `[B, 3, H, W] with H and W multiples of ${patch}`, shape);
    }
    if (!isTypedArray(pixelValues, 'Float32Array') || pixelValues.length !== elementCount(shape)) {
      throw invalidArgument('pixelValues', `Float32Array of ${elementCount(shape)} values`, pixelValues);
    }
    const size = { width, height };
    const sizes = { image: size, content: size, input: size };
    const values = await copyInSlices(pixelValues, 'pixelValues');
    return this.runEncoder('normalised', [values], batch, settings, options, sizes);
  }

  /** @param inputs arrays that nobody else knows */
  private async runEncoder(
    pixels: 'normalised' | 'photograph',
    inputs: readonly TensorData[],
    batch: number,
    settings: ResolvedSettings,
    options: RunOptions,
    sizes: { image: Size; content: Size; input: Size },
    name?: string,
  ): Promise<Embedding> {
    const { config, dtype, f8 } = this;
    const grid = { h: sizes.input.height / config.patch, w: sizes.input.width / config.patch };
    const early = config.decoder && isHq(config.decoder) ? earlyFeature(config) : undefined;
    const run = { signal: options.signal, onProfile: options.onProfile };
    const [data, tokens] = await this.session.run(
      `encoder/${pixels}/${batch}x${grid.h}x${grid.w}/${settingsKey(settings)}`,
      () => imageEncoder(config, { batch, grid, settings, dtype, f8, pixels, taps: early && [early.tap] }),
      inputs,
      { ...run, onProgress: options.onProgress },
    );
    const [hqFeatures] = tokens
      ? await this.runHqFeatures(data as Float32Array, tokens, { batch, grid }, run)
      : [];
    const shape = [batch, config.outChannels, grid.h, grid.w] as const;
    const embedding = new Embedding(
      data as Float32Array,
      shape,
      { ...sizes, settings, dtype, f8, name },
      hqFeatures as Float32Array | undefined,
    );
    for (const part of [embedding.data, embedding.hqFeatures]) {
      if (!part || (await allFinite(part))) continue;
      if (pixels === 'normalised' && !(await allFinite(inputs[0] as Float32Array))) {
        throw notFiniteInput('pixelValues');
      }
      throw notFinite('image encoder', this.path, embedding);
    }
    return embedding;
  }

  private runHqFeatures(
    embeddings: Float32Array,
    tokens: TensorData,
    size: { batch: number; grid: { h: number; w: number } },
    options: RunOptions,
  ): Promise<TensorData[]> {
    const decoder = this.config.decoder as HqDecoderConfig;
    const key = `hq-features/${JSON.stringify(size)}`;
    return this.session.run(key, () => hqFeatures(decoder, size), [embeddings, tokens], options);
  }
}

function allocateCanvas(bytes: number): Uint8Array {
  try {
    return new Uint8Array(bytes);
  } catch (cause) {
    throw new SamError('ERR_OUT_OF_MEMORY', `Could not allocate an input of ${bytes} bytes`, { cause });
  }
}
