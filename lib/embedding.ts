// An encoded image: what predict() needs, and how it is kept in a file.
import { z } from 'zod';
import { type Checkpoint, openCheckpoint } from './checkpoint/checkpoint';
import { type TensorToWrite, writeSafetensors } from './checkpoint/write-safetensors';
import { checkInfo, type EmbeddingInfo, type EmbeddingShape, savedInfo } from './embedding-info';
import { invalidArgument, SamError } from './errors';
import { allFinite } from './finite';
import { DEFAULT_PIXEL_LIMIT } from './image/load';
import type { ResolvedSettings } from './model/ba-sam';
import type { OptionsOf } from './options/option';
import { isTypedArray, parse } from './options/validate';
import type { Size } from './size';

export type { EmbeddingInfo } from './embedding-info';

const TENSOR = 'image_embeddings';
const HQ_TENSOR = 'hq_features';
const FORMAT = 'ba-sam-embedding-1';
/** Far above what any settings need; JSON.parse cannot be interrupted. */
const MAX_INFO = 2 ** 20;

const loadShape = {
  /**
   * An embedding of an image with more pixels is refused: masks have the image's size, and a small file can name any.
   * Default 134217728 (2²⁷).
   */
  limitInputPixels: z.int().min(1).default(DEFAULT_PIXEL_LIMIT),
};

/** Options of {@link Embedding.load}. */
export interface EmbeddingLoadOptions extends OptionsOf<typeof loadShape> {}

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
  readonly name?: string;
  readonly shape: EmbeddingShape;

  /**
   * @param data kept, not copied
   * @throws SamError ERR_INVALID_ARGUMENT when data, shape and info contradict each other
   */
  constructor(
    readonly data: Float32Array,
    shape: EmbeddingShape,
    info: EmbeddingInfo,
    /** What SAM-HQ's decoder needs besides, [batch, 4·gridH, 4·gridW, channels / 8]; undefined of any other model. */
    readonly hqFeatures?: Float32Array,
  ) {
    const checked = checkInfo(shape, info);
    const elements = checked.shape.reduce((product, dim) => product * dim, 1);
    if (!isTypedArray(data, 'Float32Array') || data.length !== elements) {
      throw invalidArgument(
        'data',
        `Float32Array of ${elements} values ([${checked.shape.join(', ')}])`,
        data,
      );
    }
    if (hqFeatures !== undefined) {
      const wanted = 2 * elements;
      if (!isTypedArray(hqFeatures, 'Float32Array') || hqFeatures.length !== wanted) {
        throw invalidArgument(
          'hqFeatures',
          `Float32Array of ${wanted} values ([${hqShape(checked.shape).join(', ')}])`,
          hqFeatures,
        );
      }
    }
    const { image, content, input, settings, dtype, f8, name } = checked.info;
    this.shape = checked.shape;
    this.image = image;
    this.content = content;
    this.input = input;
    this.settings = settings;
    this.dtype = dtype;
    this.f8 = f8 ?? false;
    this.name = name;
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
      throw invalidArgument('index', `integer between 0 and ${this.batch - 1}`, index);
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
   * go to its metadata. Of SAM-HQ it has `hq_features` [batch, 4·gridH, 4·gridW, channels / 8], too. An existing file is
   * replaced at once or not at all.
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
   * Reads what {@link Embedding.save} wrote. Every field is checked against the others and the tensor, and every value is
   * finite; whether it fits a model is checked by `Sam.predict`.
   *
   * @throws SamError ERR_INVALID_ARGUMENT, ERR_IO, ERR_EMBEDDING that names the field, ERR_OUT_OF_MEMORY
   */
  static async load(path: string, options: EmbeddingLoadOptions = {}): Promise<Embedding> {
    const { limitInputPixels } = parse(z.strictObject(loadShape), options, 'options');
    try {
      const file = await openCheckpoint(path);
      try {
        return await read(file, limitInputPixels);
      } finally {
        await file.close();
      }
    } catch (error) {
      // A damaged file is one of an embedding here, whatever it is to the reader of checkpoints.
      if (!(error instanceof SamError) || error.code !== 'ERR_CHECKPOINT') throw error;
      throw new SamError('ERR_EMBEDDING', error.message, { cause: error });
    }
  }
}

function hqShape([batch, channels, gridH, gridW]: EmbeddingShape): number[] {
  return [batch, 4 * gridH, 4 * gridW, channels / 8];
}

async function read(file: Checkpoint, limitInputPixels: number): Promise<Embedding> {
  const fail = (message: string, cause?: unknown) =>
    new SamError('ERR_EMBEDDING', `${file.path}: ${message}`, { cause });
  const tensor = file.tensors.get(TENSOR);
  if (!tensor) {
    const found = [...file.tensors.keys()].slice(0, 3).join(', ') || 'none';
    throw fail(`expected a tensor ${TENSOR} but found ${found}`);
  }
  const { dtype, shape } = tensor;
  if (dtype !== 'f32' || shape.length !== 4 || shape.includes(0)) {
    throw fail(`expected ${TENSOR} as f32 [B, C, Gh, Gw] but found ${dtype} [${shape.join(', ')}]`);
  }
  if (file.metadata.format !== FORMAT) {
    throw fail(`expected metadata of format ${FORMAT}: this embedding was not written by ba-sam`);
  }
  // Before the tensor is read: its size is the file's, but there may be a lot of it.
  let info: EmbeddingInfo;
  try {
    info = parse(savedInfo, infoJson(file.metadata.info, fail), 'info');
    checkInfo(shape, info);
  } catch (error) {
    if (!(error instanceof SamError) || error.code !== 'ERR_INVALID_ARGUMENT') throw error;
    throw fail(error.message.replace(/^Expected /, 'expected '), error);
  }
  const { width, height } = info.image;
  if (width * height > limitInputPixels) {
    throw fail(
      `expected at most ${limitInputPixels} px (limitInputPixels) for info.image but found ${width} × ${height}`,
    );
  }
  const expected = hqShape(shape as unknown as EmbeddingShape);
  const hq = file.tensors.get(HQ_TENSOR);
  if (hq && (hq.dtype !== 'f32' || hq.shape.join() !== expected.join())) {
    throw fail(
      `expected ${HQ_TENSOR} as f32 [${expected.join(', ')}] but found ${hq.dtype} [${hq.shape.join(', ')}]`,
    );
  }
  const values = async (name: string) => {
    const bytes = await file.read(name);
    const data = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    if (!(await allFinite(data))) throw fail(`expected finite values for ${name} but found others`);
    return data;
  };
  return new Embedding(
    await values(TENSOR),
    shape as unknown as EmbeddingShape,
    { ...info, name: file.path },
    hq && (await values(HQ_TENSOR)),
  );
}

function infoJson(text: string | undefined, fail: (message: string) => SamError): unknown {
  if (text !== undefined && text.length > MAX_INFO) {
    throw fail(`expected at most ${MAX_INFO} characters in the metadata entry info but found ${text.length}`);
  }
  try {
    return JSON.parse(text ?? '');
  } catch {
    throw fail('expected JSON in the metadata entry info');
  }
}
