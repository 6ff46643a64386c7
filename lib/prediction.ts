// From prompts on an embedding to masks: batches of prompts through the mask decoder, then masks of the image's size.
import { unlessAborted } from './abort';
import type { TensorData } from './addon';
import type { Embedding } from './embedding';
import { SamError } from './errors';
import { allFinite, notFinite } from './finite';
import { Graph } from './graph/graph';
import type { Held, Session } from './graph/session';
import type { SamDecoderConfig } from './model/decoder/config';
import { imageTokens, maskDecoder } from './model/decoder/mask-decoder';
import { upsampleMasks } from './ops';
import type { RunOptions } from './options/session';
import type { PromptTokens } from './prompts';

/** One mask. */
export interface Mask {
  /** [height, width], 1 inside, 0 outside; empty with `fullSize: false`. */
  readonly data: Uint8Array;
  /** [height, width] of the photograph, f32: inside is above 0, the sigmoid is a probability. With `logits: true` only. */
  readonly logits?: Float32Array;
  readonly width: number;
  readonly height: number;
  /** The model's own estimate of the IoU with the true object. */
  readonly score: number;
  /** Logits [lowResHeight, lowResWidth] = [4·gridH, 4·gridW]: the next call's mask prompt. */
  readonly lowRes: Float32Array;
  readonly lowResWidth: number;
  readonly lowResHeight: number;
}

/** The masks of one prompt. */
export interface Prediction {
  /** One mask, or three with `multimask`, in the decoder's order. */
  readonly masks: readonly Mask[];
  /** The mask with the highest score. */
  readonly best: Mask;
}

interface MaskPredictorOptions {
  readonly multimask: boolean;
  readonly fullSize: boolean;
  readonly logits: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (fraction: number) => void;
  /** Called after each graph. */
  readonly onProfile?: RunOptions['onProfile'];
}

/** The mask decoder of one model. */
export class MaskPredictor {
  // What follows from the embedding used last, 2.5 times its size; ends with the embedding.
  private readonly known = new WeakMap<Float32Array, { grid: string; tokens: Promise<Held[]> }>();
  private latest?: WeakRef<Float32Array>;

  constructor(
    private readonly session: Session,
    private readonly config: SamDecoderConfig,
    /** The checkpoint, as errors name it. */
    private readonly path: string,
  ) {}

  /** One prediction per prompt, in order. @throws as `Sam.predict` */
  async predict(
    embedding: Embedding,
    prompts: readonly PromptTokens[],
    { multimask, fullSize, logits, signal, onProgress, onProfile }: MaskPredictorOptions,
  ): Promise<Prediction[]> {
    const grid = { h: embedding.gridH, w: embedding.gridW };
    const results = new Array<Prediction>(prompts.length);
    let done = 0;
    for (const { indices, tokens, masked } of chunks(prompts, grid.h * grid.w)) {
      signal?.throwIfAborted();
      const count = indices.length;
      // On a device it would be four copies instead of one, for products that take microseconds there.
      const shared = !masked && this.session.device === 'cpu';
      const options = {
        grid,
        input: embedding.input,
        prompts: count,
        tokens,
        maskPrompt: masked,
        multimask,
        imageTokens: shared,
      };
      const image = shared
        ? await unlessAborted(this.imageTokens(embedding, grid), signal)
        : [embedding.data];
      const [lowRes, scores] = await this.session.run(
        `decoder/${JSON.stringify(options)}`,
        () => maskDecoder(this.config, options),
        [
          ...image,
          ...promptInputs(
            indices.map((i) => prompts[i]),
            masked,
          ),
          // A model with them has refused an embedding without.
          ...(this.config.hq ? [embedding.hqFeatures!] : []),
        ],
        { signal, onProfile },
      );
      const low = lowRes as Float32Array;
      await this.checkFinite([scores as Float32Array, low], embedding);
      const perPrompt = low.length / (count * 16 * grid.h * grid.w);
      const sizes = [count, perPrompt] as const;
      const full: FullSize = {};
      if (logits) full.logits = await this.upsample('f32', low, sizes, embedding, { signal, onProfile });
      // One pass over what is there instead of a second run of the op: the same masks, to the pixel.
      if (fullSize && full.logits) full.masks = aboveZero(full.logits);
      else if (fullSize) full.masks = await this.upsample('u8', low, sizes, embedding, { signal, onProfile });
      for (const [row, index] of indices.entries()) {
        results[index] = collect(row, perPrompt, low, scores as Float32Array, full, embedding);
      }
      done += count;
      onProgress?.(done / prompts.length);
    }
    return results;
  }

  // A score of NaN would be a number like any other to whoever sorts by it, and a logit of NaN is outside of every mask.
  private async checkFinite(outputs: readonly Float32Array[], embedding: Embedding): Promise<void> {
    for (const output of outputs) {
      if (await allFinite(output)) continue;
      if (await allFinite(embedding.data)) throw notFinite('mask decoder', this.path, embedding);
      throw new SamError(
        'ERR_INVALID_ARGUMENT',
        'Expected finite values for embedding.data but received others',
      );
    }
  }

  // Without the call's signal: calls at the same time share it.
  private imageTokens({ data }: Embedding, grid: { h: number; w: number }): Promise<Held[]> {
    const key = `${grid.h}x${grid.w}`;
    const known = this.known.get(data);
    if (known?.grid === key) return known.tokens;
    const build = () => imageTokens(this.config, grid);
    const tokens = this.session.run(`image-tokens/${key}`, build, [data], { hold: true });
    const last = this.latest?.deref();
    if (last) this.known.delete(last);
    this.known.set(data, { grid: key, tokens });
    this.latest = new WeakRef(data);
    tokens.catch(() => this.known.delete(data));
    return tokens;
  }

  /**
   * Scales logits up to the photograph.
   *
   * @param low [prompts, masks per prompt, 4·gridH, 4·gridW]
   * @returns [prompts, masks per prompt, height, width]: f32 logits, or u8 masks (logit > 0)
   */
  upsample<D extends 'u8' | 'f32'>(
    dtype: D,
    low: Float32Array,
    [prompts, perPrompt]: readonly [prompts: number, perPrompt: number],
    embedding: Embedding,
    options: RunOptions,
  ): Promise<D extends 'u8' ? Uint8Array : Float32Array>;
  async upsample(
    dtype: 'u8' | 'f32',
    low: Float32Array,
    [prompts, perPrompt]: readonly [prompts: number, perPrompt: number],
    embedding: Embedding,
    options: RunOptions,
  ): Promise<TensorData> {
    const { gridH, gridW, image, content, input } = embedding;
    const shape = [prompts, perPrompt, 4 * gridH, 4 * gridW];
    const build = () => {
      const graph = new Graph();
      const sizes = { input, content, out: image };
      graph.output(upsampleMasks(graph.input('low_res_logits', shape), sizes, dtype));
      return graph;
    };
    const key = `upsample/${JSON.stringify([dtype, shape, input, content, image])}`;
    return (await this.session.run(key, build, [low], options))[0];
  }
}

/** What a batch of prompts has at the photograph's size: [prompts, masks per prompt, height, width]. */
interface FullSize {
  masks?: Uint8Array;
  logits?: Float32Array;
}

/** Prompts with the same number of tokens that are decoded together. */
interface Chunk {
  readonly indices: number[];
  readonly tokens: number;
  readonly masked: boolean;
}

// Tokens of a batch must be equally many, and padding would change the result: so prompts are grouped. A prompt keeps
// about 40 kB per grid cell busy: at most 32768 cells (1.3 GB) at a time.
function chunks(prompts: readonly PromptTokens[], cells: number): Chunk[] {
  const limit = Math.max(1, Math.min(64, Math.floor(32768 / cells)));
  const open = new Map<string, Chunk>();
  const all: Chunk[] = [];
  for (const [index, { labels, mask }] of prompts.entries()) {
    const key = `${labels.length}/${mask !== undefined}`;
    let chunk = open.get(key);
    if (!chunk || chunk.indices.length === limit) {
      chunk = { indices: [], tokens: labels.length, masked: mask !== undefined };
      open.set(key, chunk);
      all.push(chunk);
    }
    chunk.indices.push(index);
  }
  return all;
}

// In the order in which the decoder's graph declares them: masks, coordinates, labels.
function promptInputs(prompts: readonly PromptTokens[], masked: boolean): TensorData[] {
  const coords = Float32Array.from(prompts.flatMap((prompt) => prompt.coords));
  const labels = Int32Array.from(prompts.flatMap((prompt) => prompt.labels));
  if (!masked) return [coords, labels];
  const size = prompts[0].mask!.length;
  const masks = new Float32Array(prompts.length * size);
  for (const [i, { mask }] of prompts.entries()) masks.set(mask!, i * size);
  return [masks, coords, labels];
}

/** 1 where a logit is above 0: SAM's masks. */
export function aboveZero(logits: Float32Array): Uint8Array {
  const masks = new Uint8Array(logits.length);
  for (let i = 0; i < logits.length; i++) masks[i] = logits[i] > 0 ? 1 : 0;
  return masks;
}

function collect(
  row: number,
  perPrompt: number,
  low: Float32Array,
  scores: Float32Array,
  full: FullSize,
  embedding: Embedding,
): Prediction {
  const { width, height } = embedding.image;
  const lowResWidth = 4 * embedding.gridW;
  const lowResHeight = 4 * embedding.gridH;
  const lowSize = lowResWidth * lowResHeight;
  const masks = Array.from({ length: perPrompt }, (_, m): Mask => {
    const at = row * perPrompt + m;
    const [begin, end] = [at * width * height, (at + 1) * width * height];
    return {
      data: full.masks ? full.masks.subarray(begin, end) : new Uint8Array(0),
      ...(full.logits && { logits: full.logits.subarray(begin, end) }),
      width,
      height,
      score: scores[at],
      lowRes: low.subarray(at * lowSize, (at + 1) * lowSize),
      lowResWidth,
      lowResHeight,
    };
  });
  return { masks, best: masks.reduce((a, b) => (b.score > a.score ? b : a)) };
}
