// An encoded image: what predict() needs, and how it is kept in a file.
import { z } from 'zod';
import { type Checkpoint, openCheckpoint } from './checkpoint/checkpoint';
import { type TensorToWrite, writeSafetensors } from './checkpoint/safetensors';
import { SamError } from './errors';
import type { ResolvedSettings } from './model/ba-sam';
import { dtype } from './options/compute';
import { metric, mode } from './options/settings';
import { unchanged } from './options/validate';

/** Width and height in px. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** How an image came to be this embedding. */
export interface EmbeddingInfo {
  /** The photograph: prompts and masks are in its pixels. */
  readonly image: Size;
  /** The photograph scaled to the encoder's input, without padding. */
  readonly content: Size;
  /** The encoder's input, padding included. */
  readonly input: Size;
  readonly settings: ResolvedSettings;
  /** Dtype that the encoder computed in. */
  readonly dtype: 'f32' | 'bf16' | 'f16';
  /** Whether its linear layers had operands of 8 bits; default false. */
  readonly f8?: boolean;
}

const TENSOR = 'image_embeddings';
const HQ_TENSOR = 'hq_features';
const FORMAT = 'ba-sam-embedding-1';
const MAX_ELEMENTS = 2 ** 31;

const size = z.strictObject({
  width: z
    .int()
    .min(1)
    .max(2 ** 24),
  height: z
    .int()
    .min(1)
    .max(2 ** 24),
});
const infoSchema = z.strictObject({
  image: size,
  content: size,
  input: size,
  dtype,
  f8: z.boolean().optional(),
  settings: z.strictObject({
    mode,
    lengthScale: z.boolean(),
    distance: z
      .strictObject({
        metric,
        slopes: unchanged(z.array(z.number().min(0))),
        start: z.number().min(0),
      })
      .nullable(),
  }),
});

/**
 * The image encoder's output for one image, or for several of one size.
 *
 * `data` is row-major [batch, channels, gridH, gridW] f32. Predictions keep what follows from it for the next prompt: make
 * another `Embedding` of changed values instead of writing to it.
 */
export class Embedding implements EmbeddingInfo {
  readonly image: Size;
  readonly content: Size;
  readonly input: Size;
  readonly settings: ResolvedSettings;
  readonly dtype: EmbeddingInfo['dtype'];
  readonly f8: boolean;

  constructor(
    readonly data: Float32Array,
    readonly shape: readonly [batch: number, channels: number, gridH: number, gridW: number],
    info: EmbeddingInfo,
    /** What SAM-HQ's decoder needs besides, [batch, 4·gridH, 4·gridW, channels / 8]; undefined of any other model. */
    readonly hqFeatures?: Float32Array,
  ) {
    const elements = shape.reduce((product, dim) => product * dim, 1);
    if (data.length !== elements) {
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        `Expected ${elements} elements for shape [${shape}] but received ${data.length}`,
      );
    }
    if (hqFeatures && hqFeatures.length !== 2 * elements) {
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        `Expected ${2 * elements} elements of hqFeatures for shape [${shape}] but received ${hqFeatures.length}`,
      );
    }
    this.image = info.image;
    this.content = info.content;
    this.input = info.input;
    this.settings = info.settings;
    this.dtype = info.dtype;
    this.f8 = info.f8 ?? false;
  }

  get batch(): number {
    return this.shape[0];
  }
  get channels(): number {
    return this.shape[1];
  }
  get gridH(): number {
    return this.shape[2];
  }
  get gridW(): number {
    return this.shape[3];
  }

  /** Item `index` of a batch; shares this embedding's memory. */
  at(index: number): Embedding {
    if (!(Number.isInteger(index) && index >= 0 && index < this.batch)) {
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        `Expected integer between 0 and ${this.batch - 1} for index but received ${index}`,
      );
    }
    const length = this.data.length / this.batch;
    const [, channels, gridH, gridW] = this.shape;
    return new Embedding(
      this.data.subarray(index * length, (index + 1) * length),
      [1, channels, gridH, gridW],
      this,
      this.hqFeatures?.subarray(2 * index * length, 2 * (index + 1) * length),
    );
  }

  /**
   * Writes a safetensors file with the tensor `image_embeddings` [batch, channels, gridH, gridW] f32; sizes and settings
   * go to its metadata. Of SAM-HQ it has `hq_features` [batch, 4·gridH, 4·gridW, channels / 8], too. An existing file is replaced at once or not at all.
   *
   * @throws SamError ERR_IO
   */
  async save(path: string): Promise<void> {
    const { image, content, input, settings, dtype, f8 } = this;
    const tensors: TensorToWrite[] = [{ name: TENSOR, dtype: 'f32', shape: this.shape, data: this.data }];
    if (this.hqFeatures) {
      tensors.push({ name: HQ_TENSOR, dtype: 'f32', shape: hqShape(this.shape), data: this.hqFeatures });
    }
    await writeSafetensors(path, tensors, {
      format: FORMAT,
      info: JSON.stringify({
        ...{ image, content, input, settings, dtype },
        ...(f8 && { f8 }),
      } satisfies EmbeddingInfo),
    });
  }

  /**
   * Reads what {@link Embedding.save} wrote.
   *
   * @throws SamError ERR_IO, ERR_CHECKPOINT when the file is damaged or not an embedding of this package
   */
  static async load(path: string): Promise<Embedding> {
    const file = await openCheckpoint(path);
    try {
      const tensor = file.tensors.get(TENSOR);
      const fail = (message: string) => new SamError('ERR_CHECKPOINT', `${path}: ${message}`);
      if (!tensor)
        throw fail(
          `expected a tensor ${TENSOR} but found ${[...file.tensors.keys()].slice(0, 3).join(', ') || 'none'}`,
        );
      const shape = tensor.shape as Embedding['shape'];
      const elements = shape.reduce((product, dim) => product * dim, 1);
      if (tensor.dtype !== 'f32' || shape.length !== 4 || !(elements > 0 && elements <= MAX_ELEMENTS)) {
        throw fail(`expected ${TENSOR} as f32 [B, C, Gh, Gw] but found ${tensor.dtype} [${shape}]`);
      }
      if (file.metadata.format !== FORMAT) {
        throw fail(`expected metadata of format ${FORMAT}: this embedding was not written by ba-sam`);
      }
      const info = parseInfo(file.metadata.info, fail);
      const bytes = await file.read(TENSOR);
      const data = new Float32Array(bytes.buffer, bytes.byteOffset, elements);
      return new Embedding(data, shape, info, await loadHqFeatures(file, shape, fail));
    } finally {
      await file.close();
    }
  }
}

function hqShape([batch, channels, gridH, gridW]: Embedding['shape']): number[] {
  return [batch, 4 * gridH, 4 * gridW, channels / 8];
}

async function loadHqFeatures(
  file: Checkpoint,
  shape: Embedding['shape'],
  fail: (message: string) => SamError,
): Promise<Float32Array | undefined> {
  const tensor = file.tensors.get(HQ_TENSOR);
  if (!tensor) return undefined;
  const expected = hqShape(shape);
  if (tensor.dtype !== 'f32' || tensor.shape.join() !== expected.join()) {
    throw fail(`expected ${HQ_TENSOR} as f32 [${expected}] but found ${tensor.dtype} [${tensor.shape}]`);
  }
  return new Float32Array((await file.read(HQ_TENSOR)).buffer);
}

function parseInfo(text: string | undefined, fail: (message: string) => SamError): EmbeddingInfo {
  let json: unknown;
  try {
    json = JSON.parse(text ?? '');
  } catch {
    throw fail('expected JSON in the metadata entry info');
  }
  const result = infoSchema.safeParse(json);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw fail(`metadata entry info: ${issue.path.join('.')}: ${issue.message}`);
  }
  const { content, input } = result.data;
  if (content.width > input.width || content.height > input.height) {
    throw fail('expected content no larger than input in the metadata entry info');
  }
  return result.data;
}
