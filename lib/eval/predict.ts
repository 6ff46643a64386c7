// From an embedding and prompts to maps of the image's size, one at a time.
import type { Embedding } from '../embedding';
import type { Mask } from '../masks';
import { aboveZero } from '../masks';
import type { Combination } from '../options/evaluate';
import type { Prompt } from '../prompts';
import type { Sam } from '../sam';
import type { BinaryMask, SoftMask } from './types';

/** Logits [height, width] of the image's size, f32, and the model's own estimate of the IoU. */
export interface ScoredLogits {
  readonly logits: Float32Array;
  readonly width: number;
  readonly height: number;
  readonly score: number;
}

/**
 * Predictions of one model. What is held at a time is one batch of low-resolution logits and two maps of the image's
 * size, however many prompts there are; so logits are scaled up one by one, not by `predict`.
 */
export class Predictor {
  /** @param multimask take the best-scored of three masks per prompt instead of the single one */
  constructor(
    private readonly sam: Sam,
    private readonly multimask: boolean,
  ) {}

  /**
   * The masks of every prompt, in order.
   *
   * @throws SamError as `Sam.predict`, ERR_NOT_FINITE; the signal's reason
   */
  async *each(
    embedding: Embedding,
    prompts: readonly Prompt[],
    signal?: AbortSignal,
  ): AsyncGenerator<ScoredLogits> {
    for await (const mask of this.lowRes(embedding, prompts, signal)) {
      yield await this.upsample(embedding, mask, signal);
    }
  }

  /**
   * One prediction from all prompts.
   *
   * @param prompts at least one
   * @throws SamError as `Sam.predict`, ERR_NOT_FINITE; the signal's reason
   */
  async combined(
    embedding: Embedding,
    prompts: readonly Prompt[],
    combination: Combination,
    signal?: AbortSignal,
  ): Promise<ScoredLogits> {
    if (combination === 'best') {
      let best: Mask | undefined;
      for await (const mask of this.lowRes(embedding, prompts, signal)) {
        if (!best || mask.score > best.score) best = mask;
      }
      return this.upsample(embedding, best!, signal);
    }
    let union: ScoredLogits | undefined;
    for await (const next of this.each(embedding, prompts, signal)) {
      if (!union) {
        union = next;
        continue;
      }
      const { logits } = union;
      for (let i = 0; i < logits.length; i++) if (next.logits[i]! > logits[i]!) logits[i] = next.logits[i]!;
      union = { ...union, score: Math.max(union.score, next.score) };
    }
    return union!;
  }

  private async *lowRes(
    embedding: Embedding,
    prompts: readonly Prompt[],
    signal?: AbortSignal,
  ): AsyncGenerator<Mask> {
    const options = { multimask: this.multimask, fullSize: false, signal };
    for await (const { best } of this.sam.predictEach(embedding, prompts, options)) yield best;
  }

  private async upsample(embedding: Embedding, mask: Mask, signal?: AbortSignal): Promise<ScoredLogits> {
    const { width, height, score } = mask;
    return { logits: await this.sam.upsampleLogits(embedding, mask, { signal }), width, height, score };
  }
}

/** Probabilities: the sigmoid of every logit, written over them. */
export function softMask({ logits, width, height }: ScoredLogits): SoftMask {
  for (let i = 0; i < logits.length; i++) logits[i] = 1 / (1 + Math.exp(-logits[i]!));
  return { data: logits, width, height };
}

/** 1 where the logit is above 0, as SAM's masks. */
export function binaryMask({ logits, width, height }: ScoredLogits): BinaryMask {
  return { data: aboveZero(logits), width, height };
}
