// The options of an evaluation. eval/options.ts checks what goes together.
import { z } from 'zod';
import type { Dataset } from '../eval/types';
import { MAX_LONGEST_SIDE } from '../image/resize';
import { checkpointShape } from './checkpoint';
import { computeShape, type Device, knownDevice } from './compute';
import { inputShape, padShape } from './input';
import { type OptionsOf, spelled } from './option';
import { distance, ZERO_SHOT } from './settings';
import { abortSignal, callback, distinct, filePath } from './validate';

/** Names that `openDataset` takes. */
export const DATASET_NAMES = ['dis5k', 'duts', 'isic2016', 'cod10k', 'coco', 'folder'] as const;
export type DatasetName = (typeof DATASET_NAMES)[number];

/**
 * The attention settings that an evaluation compares, by name:
 *
 * - `plain`: SAM as it is; 1/√D everywhere, no distance penalty.
 * - `length-scale`: the new scaling factor ln(N) / ln(n0) in global attention, nothing else.
 * - `length-scale+distance`: the scaling factor and the distance penalty (bias-mode attention mask), the paper's method.
 * - `released-code`: what the authors' repository computes, see mode `released-code` of `BaSamSettings`.
 */
export const ATTENTION_SETTINGS = [
  'plain',
  'length-scale',
  'length-scale+distance',
  'released-code',
] as const;
export type AttentionSetting = (typeof ATTENTION_SETTINGS)[number];

/**
 * Where prompts come from:
 *
 * - `gt-box`: the tight box of the truth; of every instance where there are instances.
 * - `gt-point`: the point inside the truth that is farthest from its outside; of every instance likewise.
 * - `center`: the image's centre.
 * - `grid`: points on a regular grid, each a prompt of its own.
 */
const PROMPT_KINDS = ['gt-box', 'gt-point', 'center', 'grid'] as const;
export type PromptKind = (typeof PROMPT_KINDS)[number];

/**
 * How the masks of several prompts become one prediction: `best` takes the mask with the highest predicted IoU (the
 * first of equals), `union` the largest logit of every pixel.
 */
const COMBINATIONS = ['best', 'union'] as const;
export type Combination = (typeof COMBINATIONS)[number];

/** Whether images and masks are turned as their EXIF orientation says (`apply`) or taken as they are stored (`ignore`). */
export const EXIF_USES = ['apply', 'ignore'] as const;
export type ExifUse = (typeof EXIF_USES)[number];

/** Names that `createMetrics` takes. */
export const METRIC_NAMES = [
  'mae',
  'f-measure',
  'weighted-f-measure',
  's-measure',
  'e-measure',
  'hce',
  'iou',
  'dice',
  'boundary-iou',
] as const;
export type MetricName = (typeof METRIC_NAMES)[number];

/** Metrics of an evaluation by name: those of `createMetrics`, and `ap` for instances. */
export const EVALUATION_METRICS = [...METRIC_NAMES, 'ap'] as const;
export type EvaluationMetric = (typeof EVALUATION_METRICS)[number];

/** How far an evaluation is. */
export interface EvaluationProgress {
  /** Rows (images × sizes × settings) that are finished, those of earlier runs included. */
  readonly done: number;
  /** Rows in all, less those of images that turned out to be unusable. */
  readonly total: number;
  /** Of `done`, rows of earlier runs. */
  readonly resumed: number;
}

export const datasetName = z.enum(DATASET_NAMES);
const isDataset = (value: unknown): value is Dataset =>
  typeof value === 'object' && value !== null && 'samples' in value && Array.isArray(value.samples);
const side = z
  .int({ error: `Expected integer between 1 and ${MAX_LONGEST_SIDE}` })
  .min(1)
  .max(MAX_LONGEST_SIDE);

/** The part of a dataset. */
export const splitShape = {
  /** Part of the dataset; default: see `openDataset`. */
  split: spelled(
    z.string().min(1),
    '--split <name>',
    'part of the dataset (default: the one that papers report)',
  ).optional(),
};

/** What each dataset of a suite may have for itself, besides {@link splitShape}. */
export const perDatasetShape = {
  /** Unusable pairs are errors instead of being counted. Default false. */
  strict: spelled(z.boolean(), '--strict', 'an image that cannot be used is an error').default(false),
  /** Turn images and masks as their EXIF orientation says (`apply`, default), or take pixels as they are stored. */
  exif: spelled(z.enum(EXIF_USES), '--exif <use>', 'turn images and masks as EXIF says, or not').default(
    'apply',
  ),
  /** Images and masks with more pixels count as unusable. Default 134217728 (2²⁷), for AVIF images 67108864 (2²⁶). */
  limitInputPixels: inputShape.limitInputPixels,
  /** Only the first images, in the dataset's order. */
  limit: spelled(z.int().min(1).max(1e9), '--limit <n>', 'only the first images').optional(),
  /** Lengths of the longer side in px, 1 … 16384. Default: the side the model was trained at. */
  sizes: spelled(
    distinct(side),
    '--sizes <list>',
    'lengths of the longer side in px (default: the trained side)',
  ).optional(),
  /** Default `gt-box`. */
  prompt: spelled(z.enum(PROMPT_KINDS), '--prompt <kind>', '').default('gt-box'),
  /** Points per side of the prompt `grid`, 1 … 64. Default 4. */
  grid: spelled(z.int().min(1).max(64), '--grid <n>', 'points per side of --prompt grid').default(4),
  /** How the masks of the prompt `grid` become one. Default `best`. */
  combine: spelled(
    z.enum(COMBINATIONS),
    '--combine <rule>',
    'how the masks of --prompt grid become one',
  ).default('best'),
  /** Per prompt, the best-scored of three masks instead of the single one. Default false. */
  multimask: spelled(z.boolean(), '--multimask', 'the best-scored of three masks per prompt').default(false),
  /** Names of metrics; default: see `defaultMetrics`. */
  metrics: spelled(distinct(z.enum(EVALUATION_METRICS)), '--metrics <list>', '').optional(),
  /** Stretch predictions to [0, 1] per image before they are measured, as PySODMetrics does. Default true. */
  normalize: spelled(
    z.boolean(),
    '--no-normalize',
    'measure maps as they are instead of stretching each to 0 … 1',
  ).default(true),
  /** What the F-measure's curve is averaged over: images as in PySODMetrics (default), or the dataset as in IS-Net. */
  averageF: spelled(
    z.enum(['image', 'dataset']),
    '--average-f <over>',
    'F-measure, as PySODMetrics or as IS-Net',
  ).default('image'),
};

const { dtype, tf32, f8 } = computeShape;

/** The model and how it is run: one for all datasets of a suite. */
export const modelShape = {
  /** Checkpoint; default: the small bundled model. */
  model: spelled(filePath, '--model <file>', 'checkpoint (default: the small bundled model)').optional(),
  ...checkpointShape,
  /** One device, or several for the workers to take in turn. Default `auto`. */
  device: spelled(
    z.union([knownDevice, distinct(knownDevice)], {
      error: 'Expected auto, cpu, cuda, cuda:<index> or several of them',
    }),
    '--device <list>',
    'auto, cpu, cuda or cuda:<index>; several for the workers to take in turn',
  ).default('auto'),
  /** What the image encoder computes in; default `f32`. */
  dtype,
  /** CUDA with dtype f32: products round their operands to 10 bits of mantissa, for speed. Default false. */
  tf32,
  /** Linear layers of the image encoder with operands of 8 bits (e4m3). Default false. */
  f8,
  /** Default `plain`, `length-scale`, `length-scale+distance`. */
  attention: spelled(
    distinct(z.enum(ATTENTION_SETTINGS)),
    '--attention <list>',
    'what is compared; the distance penalty is that of --distance, or else euclidean',
  ).default(['plain', 'length-scale', 'length-scale+distance']),
  /** The distance penalty of `length-scale+distance`; default that of `ZERO_SHOT`. */
  distance: distance.default(ZERO_SHOT.distance),
  ...padShape,
};

/** Where an evaluation reads and writes, and how it goes on. */
export const runShape = {
  /** Folder for the results and the journal; made when it is missing. */
  out: spelled(filePath, '--out <dir>', 'folder for results and journal'),
  /** Go on with the evaluation that was begun in `out`. Default false. */
  resume: spelled(z.boolean(), '--resume', 'go on with the evaluation in --out').default(false),
  /** Processes that evaluate; 1 (default) = this one. */
  workers: spelled(z.int().min(1).max(256), '--workers <n>', 'processes').default(1),
};

/** Where the images are. */
export const datasetShape = {
  /** A dataset by name, or one that is open already; the latter not with several workers. */
  dataset: z.union([datasetName, z.custom<Dataset>(isDataset)], {
    error: `Expected one of: ${DATASET_NAMES.join(', ')}, or a dataset`,
  }),
  /** Folder of the dataset; needed with a name. */
  root: spelled(filePath, '--root <dir>', 'folder of the dataset').optional(),
};

const watchShape = {
  /** Aborting rejects with the signal's reason; finished rows are kept for `resume`. */
  signal: abortSignal.optional(),
  /** Told how far the evaluation is: at first, and with every row that is finished. */
  onProgress: callback<[progress: EvaluationProgress]>().optional(),
};

export const evaluateSchema = z.strictObject({
  ...datasetShape,
  ...splitShape,
  ...perDatasetShape,
  ...modelShape,
  ...runShape,
  ...watchShape,
});

/** Options of `evaluate`. */
export interface EvaluateOptions
  extends OptionsOf<typeof datasetShape>,
    OptionsOf<typeof splitShape>,
    OptionsOf<typeof perDatasetShape>,
    OptionsOf<typeof modelShape>,
    OptionsOf<typeof runShape>,
    OptionsOf<typeof watchShape> {}

/** Options with defaults filled in; what the model or the dataset must say is still open. */
export interface CheckedOptions extends z.output<typeof evaluateSchema> {
  readonly model: string;
  readonly device: readonly Device[];
}
