// EXIF orientation of images and masks: the pixels that are evaluated, and pairs of which no file says how they lie.
import path from 'node:path';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { openDataset } from '../../../lib/eval/datasets';
import { readMask } from '../../../lib/eval/datasets/mask';
import { decodeSample } from '../../../lib/eval/datasets/orientation';
import { drawMask, ids, problems, temporaryFolder, write } from './draw';

const parent = temporaryFolder();
let count = 0;
const newFolder = () => path.join(parent, String(count++));

interface Drawn {
  readonly width?: number;
  readonly height?: number;
  readonly orientation?: number;
}

/** Every pixel differs from its neighbours, and no turn of the picture is itself. */
async function drawPhoto(file: string, { width = 9, height = 6, orientation }: Drawn = {}): Promise<void> {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * i * 37 + i * 11) % 256);
  write(file, '');
  const image = sharp(data, { raw: { width, height, channels: 3 } });
  await (orientation === undefined ? image : image.withMetadata({ orientation })).toFile(file);
}

describe('ignoring EXIF', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('gives the stored pixels of orientation %i', async (orientation) => {
    const file = path.join(newFolder(), 'a.jpg');
    await drawPhoto(file, { orientation });
    const { data, info } = await sharp(file).raw().toBuffer({ resolveWithObject: true });
    const stored = await decodeSample(file, { exif: 'ignore' });
    expect([stored.width, stored.height]).toEqual([info.width, info.height]);
    expect(Buffer.compare(stored.data, data)).toBe(0);
    const upright = await decodeSample(file, {});
    expect([upright.width, upright.height]).toEqual(orientation < 5 ? [9, 6] : [6, 9]);
    expect(Buffer.compare(upright.data, data) === 0).toBe(orientation === 1);
  });

  test('gives the stored pixels of masks', async () => {
    const file = path.join(newFolder(), 'm.tif');
    await drawPhoto(file, {});
    const mask = await sharp(Uint8Array.of(255, 0, 0, 0, 0, 255), {
      raw: { width: 3, height: 2, channels: 1 },
    })
      .toColourspace('b-w')
      .withMetadata({ orientation: 6 })
      .png()
      .toBuffer();
    write(file, mask);
    expect(await readMask(file)).toMatchObject({ width: 2, height: 3 });
    const stored = await readMask(file, { exif: 'ignore' });
    expect([stored.width, stored.height, ...stored.data]).toEqual([3, 2, 1, 0, 0, 0, 0, 1]);
  });
});

async function drawSet(images: Record<string, Drawn>, masks: Record<string, Drawn> = {}): Promise<string> {
  const root = newFolder();
  for (const [name, drawn] of Object.entries(images)) {
    await drawPhoto(`${root}/images/${name}.jpg`, drawn);
    const { width = 9, height = 6, orientation } = masks[name] ?? { ...drawn, orientation: undefined };
    const file = `${root}/masks/${name}.png`;
    await drawMask(file, 2, { width, height });
    if (orientation === undefined) continue;
    write(file, await sharp(file).withMetadata({ orientation }).png().toBuffer());
  }
  return root;
}

describe('pairs of images and masks', () => {
  test('are noted where no file says how the mask lies', async () => {
    const square = { width: 6, height: 6 };
    const root = await drawSet(
      {
        plain: {},
        upright: { orientation: 1 },
        half: { orientation: 3 },
        mirrored: { orientation: 2 },
        flipped: { orientation: 4 },
        square: { ...square, orientation: 6 },
        both: { orientation: 3 },
        // Only the upright picture has the mask's size.
        portrait: { orientation: 6 },
      },
      { both: { orientation: 3 }, portrait: { width: 6, height: 9 } },
    );
    const applied = await openDataset('folder', root, { strict: true });
    expect(applied.notes).toEqual([
      '4 images and their masks have different EXIF orientations and are turned by them (--exif ignore takes both as ' +
        'they are stored): flipped, half, mirrored, square',
    ]);
    const ignored = await openDataset('folder', root, { exif: 'ignore' });
    expect(ignored.notes).toEqual([]);
    expect(problems(ignored)).toEqual([
      `portrait: the image has 9 × 6 px but its mask 6 × 9 px (${root}/masks/portrait.png); with exif apply they fit`,
    ]);
    expect(ids(ignored)).toHaveLength(7);
    expect(ignored.samples.every(({ exif }) => exif === 'ignore')).toBe(true);
  });

  test('of the stored size are a problem that says what would fit', async () => {
    const root = await drawSet({ a: { orientation: 8 }, b: {} });
    const applied = await openDataset('folder', root);
    expect(problems(applied)).toEqual([
      `a: the image has 6 × 9 px but its mask 9 × 6 px (${root}/masks/a.png); with exif ignore they fit`,
    ]);
    expect(ids(await openDataset('folder', root, { exif: 'ignore', strict: true }))).toEqual(['a', 'b']);
  });
});

test('COCO: images with an orientation are noted where both sizes fit', async () => {
  const root = newFolder();
  const images = Object.entries({
    plain: {},
    half: { orientation: 3 },
    upright: { orientation: 6, width: 6, height: 9 },
    stored: { orientation: 6 },
  }).map(([name, drawn], i) => ({ id: i + 1, file_name: `${name}.jpg`, width: 9, height: 6, ...drawn }));
  for (const { file_name, orientation } of images as { file_name: string; orientation?: number }[]) {
    await drawPhoto(`${root}/images/${file_name}`, { orientation });
  }
  write(`${root}/annotations/instances_a.json`, JSON.stringify({ images, annotations: [] }));
  const applied = await openDataset('coco', root);
  expect(ids(applied)).toEqual(['plain', 'half', 'upright']);
  expect(applied.notes).toEqual([
    '1 images are turned by their EXIF orientation, and nothing says whether their annotations are (--exif ignore takes ' +
      'them as they are stored): half',
  ]);
  expect(problems(applied)).toEqual([
    expect.stringMatching(
      /^stored: the image has 6 × 9 px .* for 9 × 6 px \(.*stored\.jpg\); with exif ignore they fit$/,
    ),
  ]);
  const ignored = await openDataset('coco', root, { exif: 'ignore' });
  expect([ids(ignored), ignored.notes]).toEqual([['plain', 'half', 'stored'], []]);
});
