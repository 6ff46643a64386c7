// Prompts that the mask decoder takes together, and what it takes of them.
import type { TensorData } from './addon';
import type { Embedding } from './embedding';
import type { PromptTokens } from './prompts';

/** Prompts with the same number of tokens that are decoded together. */
export interface Chunk {
  readonly indices: number[];
  readonly tokens: number;
  readonly masked: boolean;
}

/** Prompts that are decoded at a time: each keeps about 40 kB per grid cell busy; at most 32768 cells (1.3 GB) are. */
export function batchSize({ gridH, gridW }: Embedding): number {
  return Math.max(1, Math.min(64, Math.floor(32768 / (gridH * gridW))));
}

/** Groups of prompts: tokens of a batch must be equally many, and padding would change the result. */
export class Chunks {
  readonly list: Chunk[] = [];
  private readonly open = new Map<number, Chunk>();
  private readonly limit: number;

  constructor(embedding: Embedding) {
    this.limit = batchSize(embedding);
  }

  add(index: number, { labels, mask }: PromptTokens): void {
    const masked = mask !== undefined;
    const kind = 2 * labels.length + Number(masked);
    let chunk = this.open.get(kind);
    if (!chunk || chunk.indices.length === this.limit) {
      chunk = { indices: [], tokens: labels.length, masked };
      this.open.set(kind, chunk);
      this.list.push(chunk);
    }
    chunk.indices.push(index);
  }
}

/** What the decoder's graph takes of prompts, in the order in which it declares them: masks, coordinates, labels. */
export function promptInputs(prompts: readonly PromptTokens[], masked: boolean): TensorData[] {
  const coords = Float32Array.from(prompts.flatMap((prompt) => prompt.coords));
  const labels = Int32Array.from(prompts.flatMap((prompt) => prompt.labels));
  if (!masked) return [coords, labels];
  const size = prompts[0].mask!.length;
  const masks = new Float32Array(prompts.length * size);
  for (const [i, { mask }] of prompts.entries()) masks.set(mask!, i * size);
  return [masks, coords, labels];
}
