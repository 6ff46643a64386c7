// `ba-sam segment IMAGE …`.
import { stat, writeFile } from 'node:fs/promises';
import { openCheckpoint } from '../checkpoint/checkpoint';
import { writeSafetensors } from '../checkpoint/safetensors';
import { Embedding } from '../embedding';
import { SamError } from '../errors';
import { decodeImage } from '../image/load';
import { type OverlayOptions, unionMasks, writeMaskPng, writeOverlayPng } from '../image/masks';
import { encodeRle, maskArea, maskBox } from '../image/rle';
import type { RgbImage } from '../image/types';
import { type Prompt, type PromptPoint, promptTokens } from '../prompts';
import { type EncodeOptions, type Prediction, Sam } from '../sam';
import { UsageError } from './errors';
import { encodeOptions, loadOptions, type SharedOptions } from './options';
import { checkOutputs } from './outputs';
import { Progress } from './progress';

export interface SegmentCommandOptions extends SharedOptions {
  point?: number[][];
  box?: number[][];
  maskInput?: string;
  multimask?: boolean;
  output: string;
  overlay?: string;
  json?: string;
  lowRes?: string;
  embedding?: string;
}

/** @throws UsageError, SamError, or an AbortError on Ctrl-C */
export async function segment(
  file: string,
  options: SegmentCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  const encodeWith = encodeOptions(options);
  const masks = options.maskInput === undefined ? undefined : await readMaskInput(options.maskInput);
  const prompts = buildPrompts(options, masks);
  const reused = options.embedding !== undefined && (await exists(options.embedding));
  await checkOutputs(
    [
      { option: '--output', file: options.output, extensions: ['.png', '.webp'] },
      { option: '--overlay', file: options.overlay, extensions: ['.png', '.jpg', '.jpeg', '.webp'] },
      { option: '--json', file: options.json },
      { option: '--low-res', file: options.lowRes, extensions: ['.safetensors'] },
      { option: '--embedding', file: reused ? undefined : options.embedding, extensions: ['.safetensors'] },
    ],
    [file, options.model, options.maskInput, reused ? options.embedding : undefined],
  );
  const image = await decodeImage(file);
  checkPrompts(prompts, image);
  const known = reused ? await readEmbedding(options.embedding!, image, options) : undefined;

  const progress = new Progress();
  let predictions: Prediction[];
  try {
    const sam = await Sam.load(options.model, {
      ...loadOptions(options),
      signal,
      onProgress: progress.stage('load'),
    });
    try {
      const embedding = known ?? (await encodeImage(sam, image, encodeWith, progress, signal));
      predictions = await sam.predict(embedding, prompts, {
        multimask: options.multimask,
        signal,
        onProgress: progress.stage('predict'),
      });
      if (!known && options.embedding !== undefined) {
        await embedding.save(options.embedding);
        progress.wrote(options.embedding);
      }
    } finally {
      await sam.dispose();
    }
    signal.throwIfAborted();
    await writeResults(image, prompts, predictions, options, progress);
  } finally {
    progress.stop();
  }
}

async function encodeImage(
  sam: Sam,
  image: RgbImage,
  options: EncodeOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<Embedding> {
  if (!sam.config.hasDecoder) {
    throw new SamError(
      'ERR_CHECKPOINT',
      'The checkpoint has an image encoder only: masks cannot be predicted',
    );
  }
  return sam.encode({ ...image, channels: 3 }, { ...options, signal, onProgress: progress.stage('encode') });
}

/** All points and at most one box form one prompt; several boxes are several prompts. */
function buildPrompts(options: SegmentCommandOptions, masks: Float32Array[] | undefined): Prompt[] {
  const points = (options.point ?? []) as unknown as PromptPoint[];
  const boxes = (options.box ?? []) as unknown as NonNullable<Prompt['box']>[];
  if (boxes.length > 1 && points.length > 0) {
    throw new UsageError(
      `Expected no --point together with ${boxes.length} boxes: every box is a prompt of its own`,
    );
  }
  if (boxes.length + points.length === 0 && !masks) {
    throw new UsageError('Expected a prompt: --point, --box or --mask-input');
  }
  const prompts: Prompt[] =
    boxes.length > 1
      ? boxes.map((box) => ({ box }))
      : boxes.length + points.length > 0
        ? [{ ...(points.length > 0 && { points }), box: boxes[0] }]
        : masks!.map(() => ({}));
  if (masks && masks.length !== prompts.length) {
    throw new UsageError(
      `Expected ${prompts.length} prompts in --mask-input, one per prompt, but found ${masks.length}`,
    );
  }
  return prompts.map((prompt, i) => ({ ...prompt, mask: masks?.[i] }));
}

/** Coordinates are checked against the image before the model is loaded; masks wait for the grid. */
function checkPrompts(prompts: readonly Prompt[], { width, height }: RgbImage): void {
  const size = { width, height };
  const stand = { image: size, content: size } as unknown as Embedding;
  for (const [i, { points, box }] of prompts.entries()) {
    if (points || box)
      promptTokens({ points, box }, stand, prompts.length > 1 ? `prompt ${i}` : 'the prompt');
  }
}

/** `low_res_logits` [prompts, masks, 4Gh, 4Gw]: of several masks the best-scored one. */
async function readMaskInput(file: string): Promise<Float32Array[]> {
  const source = await openCheckpoint(file);
  try {
    const low = source.tensors.get('low_res_logits');
    if (!low) throw new UsageError(`${file}: expected a tensor low_res_logits but there is none`);
    const { dtype, shape } = low;
    if (dtype !== 'f32' || shape.length !== 4 || !shape.every((dim) => dim > 0)) {
      throw new UsageError(
        `${file}: expected low_res_logits as f32 [prompts, masks, 4Gh, 4Gw] but found ${dtype} [${shape.join(', ')}]`,
      );
    }
    const [prompts, masks] = shape;
    const size = shape[2] * shape[3];
    const iou = source.tensors.get('iou_predictions');
    if (masks > 1 && (iou?.dtype !== 'f32' || iou.shape.join() !== `${prompts},${masks}`)) {
      throw new UsageError(
        `${file}: expected iou_predictions as f32 [${prompts}, ${masks}] to choose among ${masks} masks`,
      );
    }
    const logits = new Float32Array((await source.read('low_res_logits')).buffer);
    const scores = masks > 1 ? new Float32Array((await source.read('iou_predictions')).buffer) : undefined;
    return Array.from({ length: prompts }, (_, p) => {
      const row = scores?.subarray(p * masks, (p + 1) * masks);
      const best = row ? row.indexOf(Math.max(...row)) : 0;
      return logits.subarray(
        (p * masks + Math.max(0, best)) * size,
        (p * masks + Math.max(0, best) + 1) * size,
      );
    });
  } finally {
    await source.close();
  }
}

async function readEmbedding(
  file: string,
  image: RgbImage,
  options: SegmentCommandOptions,
): Promise<Embedding> {
  const given = ['longestSide', 'lengthScale', 'distance', 'mode'].filter(
    (name) => options[name as keyof SegmentCommandOptions] !== undefined,
  );
  if (given.length > 0 || !options.pad) {
    throw new UsageError(
      `Expected no encode options with the existing embedding ${file}: it keeps those it was made with`,
    );
  }
  const embedding = await Embedding.load(file);
  if (embedding.image.width !== image.width || embedding.image.height !== image.height) {
    throw new UsageError(
      `${file}: expected an embedding of an image of ${image.width} × ${image.height} px but it is of ` +
        `${embedding.image.width} × ${embedding.image.height}`,
    );
  }
  return embedding;
}

async function writeResults(
  image: RgbImage,
  prompts: readonly Prompt[],
  predictions: readonly Prediction[],
  options: SegmentCommandOptions,
  progress: Progress,
): Promise<void> {
  const { width, height } = image;
  const best = predictions.map((prediction) => prediction.best.data);
  await writeMaskPng(options.output, await unionMasks(best), width, height);
  progress.wrote(options.output);
  if (options.overlay !== undefined) {
    const marks: OverlayOptions = {
      points: prompts.flatMap(({ points = [] }) => points.map(([x, y, label = 1]) => [x, y, label] as const)),
      boxes: prompts.flatMap(({ box }) => (box ? [box] : [])),
    };
    const layers = best.map((data, prompt) => ({ data, prompt }));
    await writeOverlayPng(options.overlay, image, layers, marks);
    progress.wrote(options.overlay);
  }
  if (options.json !== undefined) {
    const masks = predictions.flatMap((prediction, prompt) =>
      prediction.masks.map((mask) => ({
        prompt,
        score: mask.score,
        area: maskArea(mask.data),
        bbox: maskBox(mask.data, width, height),
        rle: encodeRle(mask.data, width, height),
      })),
    );
    await writeText(options.json, `${JSON.stringify({ image: { width, height }, masks })}\n`);
    progress.wrote(options.json);
  }
  if (options.lowRes !== undefined) {
    await writeLowRes(options.lowRes, predictions);
    progress.wrote(options.lowRes);
  }
}

async function writeLowRes(file: string, predictions: readonly Prediction[]): Promise<void> {
  const masks = predictions.flatMap((prediction) => prediction.masks);
  const { lowResWidth, lowResHeight } = masks[0];
  const size = lowResWidth * lowResHeight;
  const logits = new Float32Array(masks.length * size);
  for (const [i, mask] of masks.entries()) logits.set(mask.lowRes, i * size);
  const perPrompt = masks.length / predictions.length;
  await writeSafetensors(file, [
    {
      name: 'low_res_logits',
      dtype: 'f32',
      shape: [predictions.length, perPrompt, lowResHeight, lowResWidth],
      data: logits,
    },
    {
      name: 'iou_predictions',
      dtype: 'f32',
      shape: [predictions.length, perPrompt],
      data: Float32Array.from(masks, (mask) => mask.score),
    },
  ]);
}

async function writeText(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (cause) {
    throw new SamError('ERR_IO', `Could not write ${file}: ${(cause as Error).message}`, { cause });
  }
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
