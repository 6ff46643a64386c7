// The files that `ba-sam segment` writes about its predictions.
import { writeFile } from 'node:fs/promises';
import type { z } from 'zod';
import { writeSafetensors } from '../checkpoint/safetensors';
import type { Size } from '../embedding';
import type { Outputs } from '../files/outputs';
import { unionMasks, writeMaskPng, writeOverlayPng } from '../image/masks';
import { encodeRle, maskArea, maskBox } from '../image/rle';
import type { RgbImage } from '../image/types';
import type { resultFilesShape } from '../options/commands';
import type { Prediction } from '../sam';
import { UsageError } from './errors';
import type { PromptOptions } from './prompts';

/** Where results go; absent = not wanted. */
export type ResultFiles = z.output<z.ZodObject<typeof resultFilesShape>>;

/**
 * Checks that there is something to write.
 *
 * @throws UsageError
 */
export function checkWanted({ output, overlay, json, lowRes }: ResultFiles): void {
  if ([output, overlay, json, lowRes].some((file) => file !== undefined)) return;
  throw new UsageError('Expected an output but received none: give --output, --overlay, --json or --low-res');
}

/**
 * Writes every file that was asked for; nothing is in its place before `outputs.commit()`.
 *
 * @throws SamError ERR_IO
 */
export async function writeResults(
  outputs: Outputs,
  options: ResultFiles & PromptOptions,
  image: RgbImage,
  predictions: readonly Prediction[],
): Promise<void> {
  const { output, overlay, json, lowRes } = options;
  const { width, height } = image;
  const best = predictions.map((prediction) => prediction.best.data);
  if (output !== undefined) {
    const union = await unionMasks(best);
    await outputs.write(output, (file) => writeMaskPng(file, union, width, height));
  }
  if (overlay !== undefined) {
    const layers = best.map((data, prompt) => ({ data, prompt }));
    const points = options.point?.map(([x, y, label = 1]) => [x, y, label] as const);
    await outputs.write(overlay, (file) =>
      writeOverlayPng(file, image, layers, { points, boxes: options.box }),
    );
  }
  if (json !== undefined) {
    const text = `${JSON.stringify(describe(image, predictions))}\n`;
    await outputs.write(json, (file) => writeFile(file, text));
  }
  if (lowRes !== undefined) await outputs.write(lowRes, (file) => writeLowRes(file, predictions));
}

// One entry per mask, those of `--multimask` included.
function describe({ width, height }: Size, predictions: readonly Prediction[]) {
  const masks = predictions.flatMap((prediction, prompt) =>
    prediction.masks.map(({ data, score }) => ({
      prompt,
      score,
      area: maskArea(data),
      bbox: maskBox(data, width, height),
      rle: encodeRle(data, width, height),
    })),
  );
  return { image: { width, height }, masks };
}

// low_res_logits [prompts, masks, 4·Gh, 4·Gw] and iou_predictions [prompts, masks].
async function writeLowRes(file: string, predictions: readonly Prediction[]): Promise<void> {
  const masks = predictions.flatMap((prediction) => prediction.masks);
  const { lowResHeight, lowResWidth } = masks[0];
  const size = lowResHeight * lowResWidth;
  const logits = new Float32Array(masks.length * size);
  for (const [i, { lowRes }] of masks.entries()) logits.set(lowRes, i * size);
  const scores = Float32Array.from(masks, ({ score }) => score);
  const shape = [predictions.length, masks.length / predictions.length];
  await writeSafetensors(file, [
    { name: 'low_res_logits', dtype: 'f32', shape: [...shape, lowResHeight, lowResWidth], data: logits },
    { name: 'iou_predictions', dtype: 'f32', shape, data: scores },
  ]);
}
