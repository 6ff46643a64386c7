// What an evaluation can be asked for, with every default, checked before anything is opened.
import path from 'node:path';
import { z } from 'zod';
import type { Device } from '../device';
import { invalidArgument, SamError } from '../errors';
import { MAX_LONGEST_SIDE } from '../image/resize';
import { type DistancePenalty, settingsShape, ZERO_SHOT } from '../model/ba-sam';
import type { ComputeDType } from '../model/weights';
import { BUNDLED_MODEL } from '../sam';
import { abortSignal, callback, parse } from '../validate';
import { DATASET_NAMES, type DatasetName } from './datasets';
import { COMBINATIONS, type Combination } from './predict';
import { PROMPT_KINDS, type PromptKind } from './prompts';
import { ATTENTION_SETTINGS, type AttentionSetting } from './settings';
import { EVALUATION_METRICS, type EvaluationMetric } from './tally';
import type { Dataset } from './types';

/** How far an evaluation is. */
export interface EvaluationProgress {
  /** Rows (images × sizes × settings) that are finished, those of earlier runs included. */
  readonly done: number;
  /** Rows in all, less those of images that turned out to be unusable. */
  readonly total: number;
  /** Of `done`, rows of earlier runs. */
  readonly resumed: number;
}

/** Options of {@link evaluate}. */
export interface EvaluateOptions {
  /** A dataset by name, or one that is open already; the latter not with several workers. */
  dataset: DatasetName | Dataset;
  /** Folder of the dataset; needed with a name. */
  root?: string;
  /** Part of the dataset; default: see `openDataset`. */
  split?: string;
  /** Unusable pairs are errors instead of being counted. Default false. */
  strict?: boolean;
  /** Only the first images, in the dataset's order. */
  limit?: number;
  /** Checkpoint; default: the small bundled model. */
  model?: string;
  /** One device, or several for the workers to take in turn. Default `auto`. */
  device?: Device | readonly Device[];
  /** What the image encoder computes in; default `f32`. */
  dtype?: ComputeDType;
  /** CUDA with dtype f32: products round their operands to 10 bits of mantissa, for speed. Default false. */
  tf32?: boolean;
  /** Linear layers of the image encoder with operands of 8 bits (e4m3). Default false. */
  f8?: boolean;
  /** Lengths of the longer side in px, 1 … 16384. Default: the side the model was trained at. */
  sizes?: readonly number[];
  /** Default `plain`, `length-scale`, `paper`. */
  attention?: readonly AttentionSetting[];
  /** The distance penalty of `paper`; default that of {@link ZERO_SHOT}. */
  penalty?: DistancePenalty;
  /** Pad to a square, as SAM does. Default true. */
  pad?: boolean;
  /** Default `gt-box`. */
  prompt?: PromptKind;
  /** Points per side of the prompt `grid`, 1 … 64. Default 4. */
  grid?: number;
  /** How the masks of the prompt `grid` become one. Default `best`. */
  combine?: Combination;
  /** Per prompt, the best-scored of three masks instead of the single one. Default false. */
  multimask?: boolean;
  /** Names of metrics; default: see `defaultMetrics`. */
  metrics?: readonly EvaluationMetric[];
  /** Stretch predictions to [0, 1] per image before they are measured, as PySODMetrics does. Default true. */
  normalize?: boolean;
  /** What the F-measure's curve is averaged over: images as in PySODMetrics (default), or the dataset as in IS-Net. */
  averageF?: 'image' | 'dataset';
  /** Folder for the results and the journal; made when it is missing. */
  out: string;
  /** Go on with the evaluation that was begun in `out`. Default false. */
  resume?: boolean;
  /** Processes that evaluate; 1 (default) = this one. */
  workers?: number;
  /** Aborting rejects with the signal's reason; finished rows are kept for `resume`. */
  signal?: AbortSignal;
  onProgress?: (progress: EvaluationProgress) => void;
}

/** Options with defaults filled in; what the model or the dataset must say is still open. */
export interface CheckedOptions extends Required<Omit<EvaluateOptions, Open>>, Pick<EvaluateOptions, Open> {
  readonly device: readonly Device[];
}
type Open = 'root' | 'split' | 'limit' | 'sizes' | 'metrics' | 'signal' | 'onProgress';

const MAX_WORKERS = 256;
const MAX_GRID = 64;

/** A list without repetitions. */
const distinct = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .min(1)
    .refine((list) => new Set(list).size === list.length, { error: 'Expected no value twice' })
    .readonly();
const device = z.custom<Device>(
  (value) => typeof value === 'string' && /^(auto|cpu|cuda(:\d{1,3})?)$/.test(value),
  { error: 'Expected auto, cpu, cuda or cuda:<index>' },
);
const text = z.string().min(1);
const isDataset = (value: unknown): value is Dataset =>
  typeof value === 'object' && value !== null && Array.isArray((value as Dataset).samples);

/** Checks of what a suite's file may hold, too; by option. */
export const optionShape = {
  split: text.optional(),
  strict: z.boolean().optional(),
  limit: z.int().min(1).optional(),
  model: text.optional(),
  device: z
    .union([device, distinct(device)], { error: 'Expected auto, cpu, cuda, cuda:<index> or several of them' })
    .optional(),
  dtype: z.enum(['f32', 'bf16', 'f16']).optional(),
  tf32: z.boolean().optional(),
  f8: z.boolean().optional(),
  sizes: distinct(
    z
      .int({ error: `Expected integer between 1 and ${MAX_LONGEST_SIDE}` })
      .min(1)
      .max(MAX_LONGEST_SIDE),
  ).optional(),
  attention: distinct(z.enum(ATTENTION_SETTINGS)).optional(),
  penalty: settingsShape.distance,
  pad: z.boolean().optional(),
  prompt: z.enum(PROMPT_KINDS).optional(),
  grid: z.int().min(1).max(MAX_GRID).optional(),
  combine: z.enum(COMBINATIONS).optional(),
  multimask: z.boolean().optional(),
  metrics: distinct(z.enum(EVALUATION_METRICS)).optional(),
  normalize: z.boolean().optional(),
  averageF: z.enum(['image', 'dataset']).optional(),
};

const optionsSchema = z.strictObject({
  ...optionShape,
  dataset: z.union([z.enum(DATASET_NAMES), z.custom<Dataset>(isDataset)], {
    error: `Expected one of: ${DATASET_NAMES.join(', ')}, or a dataset`,
  }),
  root: text.optional(),
  out: text,
  resume: z.boolean().optional(),
  workers: z.int().min(1).max(MAX_WORKERS).optional(),
  signal: abortSignal.optional(),
  onProgress: callback.optional(),
});

/**
 * Checks options by themselves: nothing is opened.
 *
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function checkOptions(options: EvaluateOptions): CheckedOptions {
  const given = parse(optionsSchema as unknown as z.ZodType<EvaluateOptions>, options, 'options');
  const checked: CheckedOptions = {
    ...given,
    strict: given.strict ?? false,
    model: given.model ?? BUNDLED_MODEL,
    device: typeof given.device === 'object' ? given.device : [given.device ?? 'auto'],
    dtype: given.dtype ?? 'f32',
    tf32: given.tf32 ?? false,
    f8: given.f8 ?? false,
    attention: given.attention ?? ['plain', 'length-scale', 'paper'],
    penalty: given.penalty ?? ZERO_SHOT.distance,
    pad: given.pad ?? true,
    prompt: given.prompt ?? 'gt-box',
    grid: given.grid ?? 4,
    combine: given.combine ?? 'best',
    multimask: given.multimask ?? false,
    normalize: given.normalize ?? true,
    averageF: given.averageF ?? 'image',
    out: path.resolve(given.out),
    resume: given.resume ?? false,
    workers: given.workers ?? 1,
  };
  const { dataset, root, workers, device: devices } = checked;
  if (typeof dataset === 'string' && root === undefined) {
    throw invalidArgument('options.root', 'folder of the dataset', root);
  }
  if (typeof dataset === 'object' && workers > 1) {
    throw refused('Expected a dataset by name with several workers: each of them opens it');
  }
  if (devices.length > 1) {
    // Which worker takes which image is a matter of time, and must not show in the numbers.
    if (!devices.every((name) => name.startsWith('cuda'))) {
      throw refused(`Expected CUDA devices only in a list of several but received ${devices.join(', ')}`);
    }
    if (devices.length > workers) {
      throw refused(
        `Expected at least as many workers as devices (${devices.length}) but received ${workers}`,
      );
    }
  }
  return checked;
}

function refused(message: string): SamError {
  return new SamError('ERR_INVALID_ARGUMENT', message);
}
