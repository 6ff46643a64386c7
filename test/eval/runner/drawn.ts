// Tiny datasets that the tests draw: bright discs on a dark ground, with exact masks.
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { afterAll } from 'vitest';

/** A folder that is removed after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'ba-sam-eval-'));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export interface Disc {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

/** The disc of image `index` of {@link drawFolder}, and the image's size. */
export function scene(index: number): { width: number; height: number; disc: Disc } {
  return {
    width: 96 + 16 * index,
    height: 80,
    disc: { x: 40 - 3 * index, y: 38 + index, radius: 15 + 2 * index },
  };
}

/** [height, width], 1 inside. */
export function discMask(width: number, height: number, { x, y, radius }: Disc): Uint8Array {
  return Uint8Array.from({ length: width * height }, (_, i) =>
    ((i % width) - x) ** 2 + (Math.floor(i / width) - y) ** 2 < radius ** 2 ? 1 : 0,
  );
}

/** The layout `folder`: `images/p0.png` … with `masks/p0.png` … */
export async function drawFolder(root: string, count: number): Promise<string> {
  for (const name of ['images', 'masks']) mkdirSync(path.join(root, name), { recursive: true });
  for (let i = 0; i < count; i++) {
    const { width, height, disc } = scene(i);
    const mask = discMask(width, height, disc);
    await drawImage(path.join(root, 'images', `p${i}.png`), width, height, [mask]);
    await drawMask(path.join(root, 'masks', `p${i}.png`), width, height, mask);
  }
  return root;
}

export async function drawMask(file: string, width: number, height: number, mask: Uint8Array): Promise<void> {
  await sharp(
    mask.map((value) => 255 * value),
    { raw: { width, height, channels: 1 } },
  )
    .toColourspace('b-w')
    .png()
    .toFile(file);
}

async function drawImage(
  file: string,
  width: number,
  height: number,
  masks: readonly Uint8Array[],
): Promise<void> {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    const inside = masks.findIndex((mask) => mask[i] === 1);
    const ground = 40 + ((7 * (i % width) + 13 * Math.floor(i / width)) % 40);
    data.set(inside < 0 ? [ground, 80, 110] : [220 - 60 * inside, 120 + 60 * inside, 30], 3 * i);
  }
  await sharp(data, { raw: { width, height, channels: 3 } }).toFile(file);
}

/** COCO's layout with two images: two objects of categories 1 and 2 in the first, one and a crowd in the second. */
export async function drawCoco(root: string): Promise<string> {
  const [width, height] = [120, 96];
  const squares = [
    [
      { category: 1, box: [10, 20, 40, 36] },
      { category: 2, box: [70, 40, 36, 40] },
    ],
    [{ category: 1, box: [30, 30, 50, 44] }],
  ];
  for (const name of ['val2017', 'annotations']) mkdirSync(path.join(root, name), { recursive: true });
  const images: object[] = [];
  const annotations: object[] = [];
  for (const [i, objects] of squares.entries()) {
    const file_name = `00000000000${i + 1}.png`;
    const masks = objects.map(({ box: [x, y, w, h] }) =>
      Uint8Array.from({ length: width * height }, (_, p) => {
        const [px, py] = [p % width, Math.floor(p / width)];
        return px >= x! && px < x! + w! && py >= y! && py < y! + h! ? 1 : 0;
      }),
    );
    await drawImage(path.join(root, 'val2017', file_name), width, height, masks);
    images.push({ id: i + 1, file_name, width, height });
    for (const { category, box } of objects) {
      const [x, y, w, h] = box as [number, number, number, number];
      annotations.push({
        id: annotations.length + 1,
        image_id: i + 1,
        category_id: category,
        iscrowd: 0,
        area: w * h,
        bbox: box,
        segmentation: [[x, y, x + w, y, x + w, y + h, x, y + h]],
      });
    }
  }
  // Uncompressed run lengths down the columns: the last two columns.
  const counts = [(width - 2) * height, 2 * height];
  annotations.push({
    id: annotations.length + 1,
    image_id: 2,
    category_id: 1,
    iscrowd: 1,
    area: 2 * height,
    bbox: [width - 2, 0, 2, height],
    segmentation: { size: [height, width], counts },
  });
  const categories = [1, 2].map((id) => ({ id, name: `thing ${id}` }));
  writeFileSync(
    path.join(root, 'annotations', 'instances_val2017.json'),
    JSON.stringify({ images, annotations, categories }),
  );
  return root;
}
