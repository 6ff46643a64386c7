// The files that `ba-sam segment` writes about its predictions.
import { writeFile } from 'node:fs/promises';
import type { z } from 'zod';
import { writeSafetensors } from '../checkpoint/write-safetensors';
import type { Outputs } from '../files/outputs';
import { type MaskLayer, writeMaskPng, writeOverlayPng } from '../image/masks';
import { fillRuns, parseCounts, type Rle } from '../image/rle';
import type { RgbImage } from '../image/types';
import type { Mask, Prediction } from '../masks';
import type { resultFilesShape } from '../options/commands';
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

interface MaskEntry {
  readonly prompt: number;
  readonly score: number;
  readonly area: number;
  readonly bbox: NonNullable<Mask['bbox']>;
  readonly rle: Rle;
}

/**
 * Gathers predictions of `format: 'rle'` and writes every file that was asked for. Bitmaps of single masks exist only while the
 * overlay is drawn, one at a time; low-resolution logits are kept only for their file.
 */
export class Results {
  // One entry per mask, those of `--multimask` included.
  private readonly masks: MaskEntry[] = [];
  private readonly layers: MaskLayer[] = [];
  private readonly logits: Float32Array[] = [];
  private readonly union: Uint8Array;
  private count = 0;
  private lowResSize: readonly [height: number, width: number] = [0, 0];

  constructor(
    private readonly options: ResultFiles & PromptOptions,
    private readonly image: RgbImage,
  ) {
    this.union = new Uint8Array(image.width * image.height);
  }

  /** Takes the next prompt's masks. */
  add({ masks, best }: Prediction): void {
    const { overlay, json, lowRes } = this.options;
    const { width, height } = this.image;
    const prompt = this.count++;
    fillRuns(this.union, width, height, parseCounts(best.rle!.counts, width * height));
    if (overlay !== undefined) this.layers.push({ data: best.rle!, prompt });
    for (const { score, area, bbox, rle, ...mask } of masks) {
      if (json !== undefined || lowRes !== undefined) {
        this.masks.push({ prompt, score, area: area!, bbox: bbox!, rle: rle! });
      }
      if (lowRes !== undefined) this.logits.push(mask.lowRes);
    }
    this.lowResSize = [best.lowResHeight, best.lowResWidth];
  }

  /**
   * Writes the files; nothing is in its place before `outputs.commit()`.
   *
   * @throws SamError ERR_IO
   */
  async write(outputs: Outputs): Promise<void> {
    const { output, overlay, json, lowRes, point, box } = this.options;
    const { width, height } = this.image;
    if (output !== undefined) {
      await outputs.write(output, (file) => writeMaskPng(file, this.union, width, height));
    }
    if (overlay !== undefined) {
      const points = point?.map(([x, y, label = 1]) => [x, y, label] as const);
      await outputs.write(overlay, (file) =>
        writeOverlayPng(file, this.image, this.layers, { points, boxes: box }),
      );
    }
    if (json !== undefined) {
      const text = `${JSON.stringify({ image: { width, height }, masks: this.masks })}\n`;
      await outputs.write(json, (file) => writeFile(file, text));
    }
    if (lowRes !== undefined) await outputs.write(lowRes, (file) => this.writeLowRes(file));
  }

  // low_res_logits [prompts, masks, 4·Gh, 4·Gw] and iou_predictions [prompts, masks].
  private async writeLowRes(file: string): Promise<void> {
    const [height, width] = this.lowResSize;
    const logits = new Float32Array(this.logits.length * height * width);
    for (const [i, values] of this.logits.entries()) logits.set(values, i * height * width);
    const scores = Float32Array.from(this.masks, ({ score }) => score);
    const shape = [this.count, this.masks.length / this.count];
    await writeSafetensors(file, [
      { name: 'low_res_logits', dtype: 'f32', shape: [...shape, height, width], data: logits },
      { name: 'iou_predictions', dtype: 'f32', shape, data: scores },
    ]);
  }
}
