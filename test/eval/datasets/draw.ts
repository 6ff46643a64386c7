// Small datasets in temporary folders.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import type { Dataset } from '../../../lib/eval/types';

export { temporaryFolder } from '../../support/folder';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Writes a gray gradient; the extension says the format. */
export async function drawImage(
  file: string,
  { width, height }: Size = { width: 8, height: 6 },
): Promise<void> {
  mkdirSync(path.dirname(file), { recursive: true });
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 7) % 256);
  await sharp(data, { raw: { width, height, channels: 3 } }).toFile(file);
}

/** Writes a mask that is 255 in its `inside` first columns. */
export async function drawMask(
  file: string,
  inside: number,
  { width, height }: Size = { width: 8, height: 6 },
): Promise<void> {
  mkdirSync(path.dirname(file), { recursive: true });
  const data = Uint8Array.from({ length: width * height }, (_, i) => (i % width < inside ? 255 : 0));
  await sharp(data, { raw: { width, height, channels: 1 } })
    .toColourspace('b-w')
    .toFile(file);
}

/** Writes `<images>/<id>.jpg` and `<masks>/<id><suffix>.png` for each id; the i-th mask has i + 1 columns inside. */
export async function drawPairs(
  images: string,
  masks: string,
  ids: readonly string[],
  suffix = '',
): Promise<void> {
  for (const [i, id] of ids.entries()) {
    await drawImage(path.join(images, `${id}.jpg`));
    await drawMask(path.join(masks, `${id}${suffix}.png`), i + 1);
  }
}

/** Writes a text file, and the folders it lies in. */
export function write(file: string, text: string | Uint8Array): void {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
}

export function ids(dataset: Dataset): string[] {
  return dataset.samples.map((sample) => sample.id);
}

/** Pixels inside each sample's mask. */
export async function areas(dataset: Dataset): Promise<number[]> {
  const result: number[] = [];
  for (const sample of dataset.samples) {
    const { data, width, height } = await sample.mask!();
    if (data.length !== width * height) throw new Error(`${sample.id}: ${data.length} values`);
    result.push(data.reduce((sum, value) => sum + value, 0));
  }
  return result;
}

/** `id: reason` of every problem. */
export function problems(dataset: Dataset): string[] {
  return dataset.problems.map(({ id, reason }) => `${id}: ${reason}`);
}
