// From prompts on an embedding to masks: batches of prompts through the mask decoder, then masks of the image's size.
import { unlessAborted } from './abort';
import type { NativeRle, TensorData } from './addon';
import { batches } from './batches';
import type { Embedding } from './embedding';
import { allFinite, notFinite, notFiniteInput } from './finite';
import { Graph } from './graph/graph';
import type { Held, Session } from './graph/session';
import { aboveZeroInBands, collect, type Decoded, type FullSize, type Prediction, rowOf } from './masks';
import type { SamDecoderConfig } from './model/decoder/config';
import { imageTokens, maskDecoder } from './model/decoder/mask-decoder';
import { native } from './native';
import { upsampleMasks } from './ops';
import type { RunOptions } from './options/session';
import { batchSize, type Chunk, Chunks, promptInputs } from './prompt-chunks';
import type { PromptTokens } from './prompts';
import { TimeSlice } from './time-slice';

interface MaskPredictorOptions {
  readonly multimask: boolean;
  readonly fullSize: boolean;
  readonly logits: boolean;
  readonly format: 'bitmap' | 'rle';
  readonly signal?: AbortSignal;
  readonly onProgress?: (fraction: number) => void;
  /** Called after each graph. */
  readonly onProfile?: RunOptions['onProfile'];
}

/** Lists up to this long are the caller's again as soon as `predict` has returned its promise. */
const MAX_KEPT_PROMPTS = 1024;

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

  /**
   * One prediction per prompt, in order. Every prompt is checked before the first is decoded. Of long lists each is checked again
   * when it is its turn: a hundred thousand checked ones, kept meanwhile, cost the garbage collector pauses of 10 ms and more.
   *
   * @param tokensOf checks the prompt with that index
   * @throws as `Sam.predict`
   */
  async predict(
    embedding: Embedding,
    count: number,
    tokensOf: (index: number) => PromptTokens,
    options: MaskPredictorOptions,
  ): Promise<Prediction[]> {
    const { signal, onProgress } = options;
    const chunks = new Chunks(embedding);
    const slice = new TimeSlice();
    const kept: PromptTokens[] = [];
    for (let i = 0; i < count; i++) {
      const tokens = tokensOf(i);
      chunks.add(i, tokens);
      if (count <= MAX_KEPT_PROMPTS) kept.push(tokens);
      if (slice.due()) await slice.next();
    }
    const results = new Array<Prediction>(count);
    let done = 0;
    for (const chunk of chunks.list) {
      signal?.throwIfAborted();
      const decoded = await this.decode(
        embedding,
        chunk,
        chunk.indices.map((i) => kept[i] ?? tokensOf(i)),
        options,
      );
      const full = await this.fullSize(embedding, decoded, options);
      for (const [row, index] of chunk.indices.entries())
        results[index] = collect(row, decoded, full, embedding);
      done += chunk.indices.length;
      onProgress?.(done / count);
    }
    return results;
  }

  /**
   * The predictions one by one; a batch of low-resolution masks and one prompt's bitmaps are held at a time.
   *
   * @param toTokens checks a prompt; `index` is its place
   * @throws as `Sam.predict`
   */
  async *each<P>(
    embedding: Embedding,
    prompts: Iterable<P> | AsyncIterable<P>,
    toTokens: (prompt: P, index: number) => PromptTokens,
    options: MaskPredictorOptions,
  ): AsyncGenerator<Prediction, void, undefined> {
    const { signal, onProgress, format, logits } = options;
    const total = Array.isArray(prompts) ? prompts.length : undefined;
    let done = 0;
    for await (const { items, error } of batches(prompts, toTokens, batchSize(embedding), signal)) {
      const rows = new Array<{ decoded: Decoded; row: number; full?: FullSize }>(items.length);
      const chunks = new Chunks(embedding);
      for (const [i, item] of items.entries()) chunks.add(i, item);
      for (const chunk of chunks.list) {
        signal?.throwIfAborted();
        const prompts = chunk.indices.map((i) => items[i]);
        const decoded = await this.decode(embedding, chunk, prompts, options);
        // Runs take little memory, and one call for all of them keeps more threads busy. Logits take a lot.
        const full =
          format === 'rle' && !logits ? await this.fullSize(embedding, decoded, options) : undefined;
        for (const [row, index] of chunk.indices.entries()) rows[index] = { decoded, row, full };
      }
      for (const { decoded, row, full } of rows) {
        signal?.throwIfAborted();
        const one = rowOf(decoded, row);
        yield full
          ? collect(
              0,
              one,
              { rles: full.rles?.slice(row * one.perPrompt, (row + 1) * one.perPrompt) },
              embedding,
            )
          : collect(0, one, await this.fullSize(embedding, one, options), embedding);
        done++;
        if (total !== undefined) onProgress?.(done / total);
      }
      // What came before it is not lost.
      if (error) throw error.cause;
    }
  }

  private async decode(
    embedding: Embedding,
    { tokens, masked }: Chunk,
    prompts: readonly PromptTokens[],
    { multimask, signal, onProfile }: MaskPredictorOptions,
  ): Promise<Decoded> {
    const grid = { h: embedding.gridH, w: embedding.gridW };
    const count = prompts.length;
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
    const image = shared ? await unlessAborted(this.imageTokens(embedding, grid), signal) : [embedding.data];
    const [lowRes, scores] = await this.session.run(
      `decoder/${JSON.stringify(options)}`,
      () => maskDecoder(this.config, options),
      [
        ...image,
        ...promptInputs(prompts, masked),
        // A model with them has refused an embedding without.
        ...(this.config.hq ? [embedding.hqFeatures!] : []),
      ],
      { signal, onProfile },
    );
    const low = lowRes as Float32Array;
    await this.checkFinite([scores as Float32Array, low], embedding);
    return { low, scores: scores as Float32Array, count, perPrompt: scores.length / count };
  }

  private async fullSize(
    embedding: Embedding,
    { low, count, perPrompt }: Decoded,
    { fullSize, logits, format, signal, onProfile }: MaskPredictorOptions,
  ): Promise<FullSize> {
    const sizes = [count, perPrompt] as const;
    const full: FullSize = {};
    if (logits) full.logits = await this.upsample('f32', low, sizes, embedding, { signal, onProfile });
    if (fullSize && format === 'rle')
      full.rles = await this.encode(low, count * perPrompt, embedding, { signal });
    // One pass over what is there instead of a second run of the op: the same masks, to the pixel.
    else if (fullSize && full.logits) full.masks = await aboveZeroInBands(full.logits);
    else if (fullSize) full.masks = await this.upsample('u8', low, sizes, embedding, { signal, onProfile });
    return full;
  }

  // On the CPU whatever computes: runs are no tensor, and masks of every backend are the same.
  private encode(
    low: Float32Array,
    masks: number,
    embedding: Embedding,
    options: RunOptions,
  ): Promise<NativeRle[]> {
    const { gridH, gridW, image, content, input } = embedding;
    const cpu = native();
    const sizes = [
      ...[masks, 4 * gridW, 4 * gridH],
      ...[input.width, input.height, content.width, content.height, image.width, image.height],
    ] as Parameters<typeof cpu.encodeMasks> extends [unknown, ...infer S, unknown?] ? S : never;
    return this.session.track(options, (token) => cpu.encodeMasks(low, ...sizes, token), cpu);
  }

  // A score of NaN would be a number like any other to whoever sorts by it, and a logit of NaN is outside of every mask.
  private async checkFinite(outputs: readonly Float32Array[], embedding: Embedding): Promise<void> {
    for (const output of outputs) {
      if (await allFinite(output)) continue;
      for (const part of ['data', 'hqFeatures'] as const) {
        const values = embedding[part];
        if (!values || (await allFinite(values))) continue;
        throw notFiniteInput(`embedding.${part}`);
      }
      throw notFinite('mask decoder', this.path, embedding);
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
