// What the rows of a benchmark are, and the sets of rows that are measured unless others are asked for.
import type { ComputeDType } from '../model/weights';
import {
  type AttentionBiases,
  type AttentionRows,
  type DecoderRows,
  type EncoderBiases,
  type EncoderRows,
  EVENT_LOOP_WORKS,
  type EventLoopRows,
  type EventLoopWork,
  type ModelName,
  PROMPTS,
  type PromptName,
} from '../options/bench';

/** Height and width in tokens. */
export type Grid = readonly [h: number, w: number];

type Metric = 'manhattan' | 'euclidean' | 'chebyshev';

/** One attention layer of an image encoder. */
export interface AttentionCase {
  readonly dtype: ComputeDType;
  readonly grid: Grid;
  readonly heads: number;
  readonly headDim: number;
  /** Side in tokens; null = global. */
  readonly window: number | null;
  readonly biases: AttentionBiases;
}

/** One image through an image encoder. */
export interface EncoderCase {
  readonly model: ModelName;
  /** Side of the square input in px. */
  readonly size: number;
  readonly dtype: ComputeDType;
  /** Linear layers with operands of e4m3. */
  readonly f8: boolean;
  readonly biases: EncoderBiases;
}

/** One call of `Sam.predict`. */
export interface DecoderCase {
  /** Of the embedding. */
  readonly grid: Grid;
  readonly prompt: PromptName;
  /** Prompts of the call. */
  readonly prompts: number;
}

/** Work whose stalls of the event loop are measured. */
export interface EventLoopCase {
  readonly work: EventLoopWork;
}

/** A case with the benchmark that it belongs to. */
export type BenchmarkCase =
  | { readonly benchmark: 'attention'; readonly of: AttentionCase }
  | { readonly benchmark: 'encoder'; readonly of: EncoderCase }
  | { readonly benchmark: 'decoder'; readonly of: DecoderCase }
  | { readonly benchmark: 'event-loop'; readonly of: EventLoopCase };

/** What every set of rows depends on. */
export interface Scope {
  readonly dtypes: readonly ComputeDType[];
  /** Few rows where none were asked for. */
  readonly quick: boolean;
}

interface Layers {
  readonly grids: readonly Grid[];
  readonly heads: readonly number[];
  readonly headDims: readonly number[];
  readonly windows: readonly (number | null)[];
}

// ViT-B's heads and window at the trained grid and at four times the tokens, ViT-H's heads.
const BASE: Layers = { grids: [[64, 64]], heads: [12], headDims: [64], windows: [null] };
const LAYERS: readonly Layers[] = [
  { ...BASE, windows: [null, 14] },
  { ...BASE, grids: [[128, 128]] },
  { ...BASE, heads: [16], headDims: [80], windows: [null, 14] },
];
const BIASES: readonly AttentionBiases[] = ['none', 'rel', 'rel+manhattan', 'rel+euclidean', 'rel+chebyshev'];
const QUICK_BIASES: readonly AttentionBiases[] = ['none', 'rel', 'rel+euclidean'];

/** Every combination; the last factor changes fastest. Distance penalties exist in global attention only. */
export function attentionCases({ dtypes, quick, ...options }: Scope & AttentionRows): AttentionCase[] {
  const { grids, heads, headDims, windows } = options;
  const asked = grids ?? heads ?? headDims ?? windows;
  const given: Layers = {
    grids: grids ?? BASE.grids,
    heads: heads ?? BASE.heads,
    headDims: headDims ?? BASE.headDims,
    windows: windows ?? BASE.windows,
  };
  const layers = asked ? [given] : quick ? [BASE] : LAYERS;
  const kinds = options.biases ?? (quick ? QUICK_BIASES : BIASES);
  return layers.flatMap((set) =>
    product(set.windows, set.grids, set.headDims, set.heads, kinds, dtypes)
      .filter(([window, , , , biases]) => window === null || !distanceOf(biases))
      .map(([window, grid, headDim, count, biases, dtype]) => ({
        ...{ dtype, grid, heads: count, headDim, window, biases },
      })),
  );
}

/** The distance metric among biases. */
export function distanceOf(biases: AttentionBiases): Metric | undefined {
  return /(manhattan|euclidean|chebyshev)$/.exec(biases)?.[1] as Metric | undefined;
}

const SIZES = [512, 1024, 2048, 4096];

export function encoderCases(options: Scope & EncoderRows): EncoderCase[] {
  const { models, sizes, dtypes, biases: kinds = ['plain'], f8 = false, quick } = options;
  const inputs: readonly (readonly [ModelName, number])[] =
    models || sizes
      ? product(models ?? (['vit-b'] as const), sizes ?? (quick ? [512] : SIZES))
      : quick
        ? [['vit-b', 512]]
        : [...product(['vit-b'] as const, SIZES), ...product(['vit-l', 'vit-h'] as const, [1024])];
  return product(inputs, kinds, dtypes).map(([[model, size], biases, dtype]) => ({
    ...{ model, size, dtype, f8, biases },
  }));
}

export function decoderCases(options: DecoderRows): DecoderCase[] {
  const { prompts, batches, grids = BASE.grids } = options;
  const calls: readonly (readonly [PromptName, number])[] =
    prompts || batches
      ? product(prompts ?? PROMPTS, batches ?? [1])
      : [...product(PROMPTS, [1]), ['point', 16] as const];
  return product(grids, calls).map(([grid, [prompt, count]]) => ({ grid, prompt, prompts: count }));
}

export function eventLoopCases({ works = EVENT_LOOP_WORKS }: EventLoopRows): EventLoopCase[] {
  return works.map((work) => ({ work }));
}

/** The columns that say which row it is: in a result before what was measured, and alone with the reason of a failure. */
export function identify({ benchmark, of }: BenchmarkCase, device: string): Record<string, unknown> {
  if (benchmark === 'attention') {
    const { dtype, grid, heads, headDim, window, biases } = of;
    return { device, dtype, grid, tokens: grid[0] * grid[1], heads, headDim, window, biases };
  }
  if (benchmark === 'encoder') {
    const { model, size, biases } = of;
    return { model, size, dtype: encoderDType(of), biases, device };
  }
  if (benchmark === 'event-loop') return { device, ...of };
  return { device, dtype: 'f32', ...of };
}

/** `bf16`, or `bf16+f8` where the linear layers' operands are rounded further. */
function encoderDType({ dtype, f8 }: EncoderCase): string {
  return f8 ? `${dtype}+f8` : dtype;
}

/** The same for people: what the progress line says. */
export function describeCase({ benchmark, of }: BenchmarkCase): string {
  if (benchmark === 'attention') {
    const window = of.window === null ? 'global' : `window ${of.window}`;
    return `${of.grid.join('×')} ${window}, ${of.heads} heads × ${of.headDim}, ${of.biases}, ${of.dtype}`;
  }
  if (benchmark === 'encoder') return `${of.model} ${of.size}×${of.size}, ${of.biases}, ${encoderDType(of)}`;
  if (benchmark === 'event-loop') return of.work;
  return `${of.prompts} × ${of.prompt} on ${of.grid.join('×')}`;
}

function product<T extends readonly unknown[]>(...lists: { readonly [K in keyof T]: readonly T[K][] }): T[] {
  return (lists as readonly (readonly unknown[])[]).reduce<unknown[][]>(
    (rows, list) => rows.flatMap((row) => list.map((value) => [...row, value])),
    [[]],
  ) as unknown as T[];
}
