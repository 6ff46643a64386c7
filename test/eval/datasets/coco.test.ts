// COCO: masks equal to pycocotools', images and annotations in any order, and everything that a hostile file may hold.
import { mkdtempSync, readFileSync, rmSync, truncateSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { openDataset } from '../../../lib/eval/datasets';
import { readCocoFile } from '../../../lib/eval/datasets/coco-file';
import { drawSegmentation, readAnnotation } from '../../../lib/eval/datasets/coco-records';
import type { Dataset } from '../../../lib/eval/types';
import { decodeRle, encodeRle } from '../../../lib/image/rle';
import { expectSamError } from '../../image/helpers';
import { drawImage, ids, problems, temporaryFolder, write } from './draw';

interface Case {
  width: number;
  height: number;
  segmentation: object;
  counts: string;
  area: number;
  box: number[];
}
const cases: Case[] = JSON.parse(
  readFileSync(new URL('./fixtures/coco-masks.expected.json', import.meta.url), 'utf8'),
);

// make_coco_masks.py draws the cases: polygons inside, outside and across the border, points that are given twice,
// coordinates between pixels, run lengths as lists and as text.
test('masks are those of pycocotools, pixel for pixel', async () => {
  expect(cases.length).toBeGreaterThan(200);
  for (const [i, { width, height, segmentation, counts, area, box }] of cases.entries()) {
    const annotation = readAnnotation({ id: i, category_id: 1, segmentation }, width, height);
    const mask = drawSegmentation(annotation.segmentation, width, height);
    const expected = decodeRle({ size: [height, width], counts });
    expect(Buffer.compare(mask.data, expected), `case ${i}`).toBe(0);
    expect(mask.data.reduce((sum, v) => sum + v, 0)).toBe(area);
    expect(box).toHaveLength(4);
  }
});

const parent = temporaryFolder();
const SIZE = { width: 20, height: 10 };
const SQUARE = [2, 3, 6, 3, 6, 7, 2, 7];

type Json = Record<string, unknown>;
function image(id: number, more: Json = {}): Json {
  return { id, file_name: `${String(id).padStart(12, '0')}.jpg`, ...SIZE, ...more };
}
function annotation(id: number, imageId: number, more: Json = {}): Json {
  const base = { id, image_id: imageId, category_id: 18, iscrowd: 0, area: 16, bbox: [2, 3, 4, 4] };
  return { ...base, segmentation: [SQUARE], ...more };
}
const ROUNDS = Number(process.env.ROUNDS ?? 1000);
const CATEGORIES = [{ id: 18, name: 'dog', supercategory: 'animal' }];

/** A dataset whose json holds these lists, or this text. Images 1, 2 and 3 are drawn. */
async function dataset(json: Json | string | Uint8Array, split = 'val2017'): Promise<string> {
  const root = mkdtempSync(path.join(parent, 'coco-'));
  for (const id of [1, 2, 3]) await drawImage(`${root}/${split}/${String(id).padStart(12, '0')}.jpg`, SIZE);
  const text = typeof json === 'string' || json instanceof Uint8Array ? json : JSON.stringify(json);
  write(`${root}/annotations/instances_${split}.json`, text);
  return root;
}

async function open(
  images: unknown,
  annotations: unknown,
  categories: unknown = CATEGORIES,
): Promise<Dataset> {
  return openDataset('coco', await dataset({ info: {}, licenses: [], images, annotations, categories }));
}

describe('samples and instances', () => {
  test('polygons, run lengths in both forms, crowds, images without objects', async () => {
    const rle = encodeRle(
      Uint8Array.from({ length: 200 }, (_, i) => +(i % 20 < 5)),
      20,
      10,
    );
    const root = await dataset({
      info: { year: 2017 },
      images: [image(3), image(1), image(2)],
      annotations: [
        annotation(900, 2, { area: 12.5, bbox: [2.25, 3, 4, 4.5] }),
        annotation(7, 1, { segmentation: { size: [10, 20], counts: [0, 50, 150] }, iscrowd: 1 }),
        annotation(8, 2, { segmentation: rle }),
        annotation(9, 1, { segmentation: [SQUARE, [10, 0, 13, 0, 13, 5, 10, 5]] }),
      ],
      categories: CATEGORIES,
    });
    const opened = await openDataset('coco', root, { strict: true });
    expect(opened).toMatchObject({ name: 'COCO val2017', root, problems: [] });
    // By image id, as pycocotools sorts them.
    expect(ids(opened)).toEqual(['000000000001', '000000000002', '000000000003']);
    const [first, second, third] = await Promise.all(opened.samples.map((sample) => sample.instances!()));
    expect(first!.map(({ id, crowd, category }) => [id, crowd, category])).toEqual([
      [7, true, 18],
      [9, false, 18],
    ]);
    const areaOf = (mask: { data: Uint8Array }) => mask.data.reduce((sum, v) => sum + v, 0);
    expect(areaOf(first![0]!.mask)).toBe(50);
    expect(areaOf(first![1]!.mask)).toBe(16 + 15);
    expect(second![0]).toMatchObject({
      id: 900,
      area: 12.5,
      box: [2.25, 3, 4, 4.5],
      mask: { width: 20, height: 10 },
    });
    expect(second![0]!.mask).toBe(second![0]!.mask);
    expect(encodeRle(second![1]!.mask.data, 20, 10)).toEqual(rle);
    expect(third).toEqual([]);
  });

  test('annotations before images', async () => {
    const root = await dataset({
      annotations: [annotation(1, 2)],
      categories: CATEGORIES,
      images: [image(1), image(2)],
    });
    const opened = await openDataset('coco', root, { strict: true });
    expect((await opened.samples[1]!.instances!()).map(({ id }) => id)).toEqual([1]);
  });

  test('what other tools leave out: iscrowd, area, bbox, categories', async () => {
    const record = { id: 1, image_id: 1, category_id: 5, segmentation: [SQUARE] };
    const root = await dataset({ images: [image(1)], annotations: [record] });
    const [instance] = await (await openDataset('coco', root)).samples[0]!.instances!();
    expect(instance).toMatchObject({ crowd: false, area: 16, box: [2, 3, 4, 4], category: 5 });
  });

  test('null instead of iscrowd, area, bbox, categories', async () => {
    const nothing = { iscrowd: null, area: null, bbox: null };
    const root = await dataset({
      images: [image(1)],
      annotations: [annotation(1, 1, nothing)],
      categories: null,
    });
    const [instance] = await (await openDataset('coco', root, { strict: true })).samples[0]!.instances!();
    expect(instance).toMatchObject({ crowd: false, area: 16, box: [2, 3, 4, 4], category: 18 });
  });

  test('ids as text are the same ids', async () => {
    const root = await dataset({
      images: [image(1), image(2, { id: '2' })],
      annotations: [
        annotation(1, 1, { image_id: '1', category_id: '18' }),
        annotation(2, 2, { id: '0000000002' }),
      ],
      categories: [{ id: '18', name: 'dog' }],
    });
    const opened = await openDataset('coco', root, { strict: true });
    const found = await Promise.all(opened.samples.map((sample) => sample.instances!()));
    expect(found.map((instances) => instances.map(({ id, category }) => [id, category]))).toEqual([
      [[1, 18]],
      [[2, 18]],
    ]);
    const twice = await open([image(1), image(2)], [annotation(1, 1), annotation(2, 2, { id: '01' })]);
    expect(problems(twice)).toEqual([
      '000000000002: annotations[1]: an annotation before it has the id 1, too',
    ]);
  });

  test('the parts of a file in any order, with and without a mark of byte order', async () => {
    const parts = {
      info: { description: 'a dataset', nested: [{ deep: [1, 2, { x: '}]' }] }] },
      licenses: [{ id: 1 }],
      annotations: [annotation(1, 2)],
      version: '1.0',
      images: [image(1), image(2)],
      categories: CATEGORIES,
      more: null,
    };
    const names = Object.keys(parts) as (keyof typeof parts)[];
    for (let turn = 0; turn < names.length; turn++) {
      const order = [...names.slice(turn), ...names.slice(0, turn)];
      for (const mark of ['', '\ufeff']) {
        const text = `{${order.map((name) => `"${name}": ${JSON.stringify(parts[name])}`).join(', ')}}`;
        const opened = await openDataset('coco', await dataset(mark + text), { strict: true });
        const instances = await Promise.all(opened.samples.map((sample) => sample.instances!()));
        expect({ order, ids: instances.map((some) => some.map(({ id }) => id)) }).toEqual({
          order,
          ids: [[], [1]],
        });
      }
    }
  });

  test.each<[string, string, string, string]>([
    ['the folder images', 'images/a.jpg', 'images', 'a.jpg'],
    ['the folder of the split', 'val2017/a.jpg', 'val2017', 'a.jpg'],
    ['both', 'images/val2017/a.jpg', 'images/val2017', 'a.jpg'],
    ['the split below images', 'val2017/a.jpg', 'images/val2017', 'a.jpg'],
    ["the dataset's folder", 'set/images/a.jpg', 'images', 'a.jpg'],
    ['images, whatever its name', 'images/a.jpg', 'val2017', 'a.jpg'],
    ['images above the split', 'images\\val2017\\a.jpg', 'val2017', 'a.jpg'],
    ['Windows', 'images\\a.jpg', 'images', 'a.jpg'],
    ['Windows, with a folder', 'cam 1\\a.jpg', 'images', 'cam 1/a.jpg'],
    ['a backslash that is meant', 'a\\b.jpg', 'images', 'a\\b.jpg'],
    ['decomposed, on disk composed', 'Zu\u0308rich.jpg', 'images', 'Z\u00fcrich.jpg'],
    ['composed, on disk decomposed', 'images/Z\u00fcrich.jpg', 'images', 'Zu\u0308rich.jpg'],
  ])('a name that begins with or is spelled like %s', async (_, name, folder, onDisk) => {
    const root = path.join(mkdtempSync(path.join(parent, 'named-')), 'set');
    const file = path.join(root, folder, onDisk);
    await drawImage(file, SIZE);
    const text = JSON.stringify({ images: [image(1, { file_name: name })], annotations: [] });
    write(`${root}/annotations/instances_val2017.json`, text);
    for (const place of [root, path.dirname(root)]) {
      const opened = await openDataset('coco', place, { strict: true });
      expect(opened.samples.map((sample) => sample.image)).toEqual([file]);
      expect(opened.samples[0]!.id).toBe(name.replaceAll('\\', '/').replace('.jpg', '').normalize('NFC'));
    }
  });

  test("a name of another folder's file, or of one outside, is not found", async () => {
    const root = await dataset({
      images: [
        image(1, { file_name: 'train2017/000000000001.jpg' }),
        image(2, { file_name: 'images/000000000002.jpg' }),
        image(3, { file_name: '000000000002.jpg' }),
        image(4, { file_name: 'outside/b.jpg' }),
      ],
      annotations: [],
    });
    await drawImage(path.join(path.dirname(root), 'outside', 'b.jpg'), SIZE);
    const opened = await openDataset('coco', root).catch((error) => error.message);
    expect(opened).toContain(`Cannot read ${root}/val2017/train2017/000000000001.jpg: no such file`);
    expect(opened).toContain(`Cannot read ${root}/val2017/outside/b.jpg: no such file`);
    // Two names of one file.
    expect(opened).toContain('images/000000000002: images lists it 2 times; here with the id 2');
    expect(opened).toContain('000000000002: images lists it 2 times; here with the id 3');
  });

  test('what macOS adds to an archive is no dataset', async () => {
    const above = path.dirname(await dataset({ images: [image(1)], annotations: [] }));
    const place = mkdtempSync(path.join(above, 'mac-'));
    const text = JSON.stringify({ images: [image(1)], annotations: [] });
    for (const name of ['set', '__MACOSX']) {
      write(`${place}/${name}/annotations/instances_val2017.json`, text);
      await drawImage(`${place}/${name}/val2017/000000000001.jpg`, SIZE);
    }
    write(`${place}/set/annotations/._instances_val2017.json`, 'Mac OS X');
    const opened = await openDataset('coco', place, { strict: true });
    expect(opened.samples[0]!.image).toBe(`${place}/set/val2017/000000000001.jpg`);
  });

  test('folders of images, the root above, splits', async () => {
    const text = JSON.stringify({ images: [image(1)], annotations: [], categories: [] });
    const root = path.join(mkdtempSync(path.join(parent, 'above-')), 'coco');
    for (const [split, folder] of [
      ['val2017', 'images/val2017'],
      ['train2017', 'train2017'],
      ['default', 'images'],
    ]) {
      write(`${root}/annotations/instances_${split}.json`, text);
      await drawImage(`${root}/${folder}/000000000001.jpg`, SIZE);
      for (const place of [root, path.dirname(root)]) {
        const opened = await openDataset('coco', place, { split, strict: true });
        expect(opened.samples[0]!.image).toBe(`${root}/${folder}/000000000001.jpg`);
      }
    }
    expect((await openDataset('coco', root)).name).toBe('COCO val2017');
    await expectSamError(
      openDataset('coco', root, { split: '../../x' }),
      'ERR_INVALID_ARGUMENT',
      'Expected one of default, train2017, val2017 for split but received "../../x"',
    );
    rmSync(`${root}/annotations/instances_val2017.json`);
    await expectSamError(
      openDataset('coco', root),
      'ERR_INVALID_ARGUMENT',
      'received none',
      'has no val2017',
    );
    rmSync(`${root}/annotations/instances_train2017.json`);
    expect((await openDataset('coco', root)).name).toBe('COCO default');
    rmSync(`${root}/images`, { recursive: true });
    await expectSamError(openDataset('coco', root), 'ERR_DATASET', `${root}/images but found no such folder`);
    rmSync(`${root}/annotations`, { recursive: true });
    await expectSamError(
      openDataset('coco', root),
      'ERR_DATASET',
      'Expected annotations/instances_*.json in',
    );
  });

  test('missing, damaged and mismatched images', async () => {
    const root = await dataset({
      images: [image(1), image(2, { width: 21 }), image(3), image(4)],
      annotations: [],
      categories: [],
    });
    truncateSync(`${root}/val2017/000000000003.jpg`, 40);
    const opened = await openDataset('coco', root);
    expect(ids(opened)).toEqual(['000000000001']);
    expect(problems(opened)).toEqual([
      `000000000002: the image has 20 × 10 px but its annotations are for 21 × 10 px (${root}/val2017/000000000002.jpg)`,
      expect.stringContaining(`000000000003: Cannot decode ${root}/val2017/000000000003.jpg: `),
      `000000000004: Cannot read ${root}/val2017/000000000004.jpg: no such file or directory`,
    ]);
    await expectSamError(openDataset('coco', root, { strict: true }), 'ERR_DATASET', '3 of 4 cannot be used');
  });

  test('a file that changed after it was opened', async () => {
    const root = await dataset({
      images: [image(1)],
      annotations: [annotation(1, 1)],
      categories: CATEGORIES,
    });
    const opened = await openDataset('coco', root);
    expect(await opened.samples[0]!.instances!()).toHaveLength(1);
    const file = `${root}/annotations/instances_val2017.json`;
    utimesSync(file, new Date(), new Date(1000));
    await expectSamError(opened.samples[0]!.instances!(), 'ERR_DATASET', `${file}: the file changed after`);
    rmSync(file);
    await expectSamError(opened.samples[0]!.instances!(), 'ERR_IO', 'no such file');
  });
});

describe('hostile images', () => {
  test.each<[string, unknown, string]>([
    ['no object', 7, 'images[1]: Expected object for images[1] but received 7'],
    ['null', null, 'images[1]: Expected object'],
    ['a list', [1], 'images[1]: Expected object'],
    ['no id', { file_name: 'x.jpg', ...SIZE }, 'images[1]: Expected integer for id but received undefined'],
    ['id of text', image('two' as never), 'images[1]: Expected integer for id but received "two"'],
    ['id of too many digits', image('9'.repeat(17) as never), 'images[1]: Expected integer for id'],
    ['inexact id', image(2 ** 60), 'images[1]: Expected integer for id'],
    ['no width', image(2, { width: undefined }), 'image 2: images[1]: Expected integer for width'],
    ['width 0', image(2, { width: 0 }), 'Expected integer between 1 and 65535 for width but received 0'],
    ['negative height', image(2, { height: -3 }), 'for height but received -3'],
    ['half a pixel', image(2, { height: 0.5 }), 'Expected integer for height but received 0.5'],
    ['absurd width', image(2, { width: 1e9 }), 'for width but received 1000000000'],
    [
      'absurd area',
      image(2, { width: 60_000, height: 60_000 }),
      'for width · height but received 3600000000',
    ],
    [
      'file_name missing',
      image(2, { file_name: undefined }),
      'Expected path below the image folder for file_name',
    ],
    ['file_name a number', image(2, { file_name: 5 }), 'for file_name but received 5'],
    ['file_name empty', image(2, { file_name: '' }), 'for file_name but received ""'],
    [
      'file_name above',
      image(2, { file_name: '../val2017/000000000002.jpg' }),
      'for file_name but received "../',
    ],
    [
      'file_name above, inside',
      image(2, { file_name: 'a/../../b.jpg' }),
      'for file_name but received "a/../',
    ],
    ['file_name above, backslashes', image(2, { file_name: 'a\\..\\b.jpg' }), 'for file_name but received'],
    [
      'file_name absolute',
      image(2, { file_name: '/etc/hostname' }),
      'for file_name but received "/etc/hostname"',
    ],
    [
      'file_name with a null',
      image(2, { file_name: 'a\0.jpg' }),
      'for file_name but received "a\\u0000.jpg"',
    ],
    ['file_name very long', image(2, { file_name: 'a/'.repeat(3000) }), 'for file_name but received "a/a/'],
    ['a file that is a folder', image(2, { file_name: '.' }), 'it is a directory'],
  ])('%s', async (_, hostile, reason) => {
    const opened = await open([image(1), hostile, image(3)], [annotation(1, 1)]);
    expect(ids(opened)).toEqual(['000000000001', '000000000003']);
    expect(problems(opened)).toHaveLength(1);
    expect(problems(opened)[0]).toContain(reason);
  });

  test('two images with one id, two ids with one file', async () => {
    const twice = await open([image(1), image(2), image(1, { file_name: 'other.jpg' })], []);
    expect(ids(twice)).toEqual(['000000000002']);
    expect(problems(twice)).toEqual(['000000000001: images[2] has its id 1, too']);
    const shared = await open([image(1), image(2), image(5, { file_name: './000000000001.jpg' })], []);
    expect(ids(shared)).toEqual(['000000000002']);
    expect(problems(shared)).toEqual([
      '000000000001: images lists it 2 times; here with the id 1',
      '000000000001: images lists it 2 times; here with the id 5',
    ]);
  });
});

describe('hostile annotations', () => {
  const rle = (counts: unknown, size: unknown = [10, 20]): Json => ({ segmentation: { size, counts } });
  test.each<[string, Json, string]>([
    ['category of text', { category_id: 'dog' }, 'Expected integer for category_id but received "dog"'],
    ['category unknown', { category_id: 99 }, 'categories does not list category_id 99'],
    ['iscrowd 2', { iscrowd: 2 }, 'Expected 0 or 1 for iscrowd but received 2'],
    ['negative area', { area: -1 }, 'Expected number of at least 0 for area but received -1'],
    ['area of text', { area: '5' }, 'Expected finite number for area'],
    ['short box', { bbox: [1, 2, 3] }, 'Expected [x, y, width, height] for bbox'],
    ['box with null', { bbox: [1, 2, null, 3] }, 'Expected finite number for bbox[2] but received null'],
    ['box of negative width', { bbox: [1, 2, -3, 3] }, 'width and height of at least 0 for bbox'],
    [
      'no segmentation',
      { segmentation: undefined },
      'Expected list of polygons or {size, counts} for segmentation',
    ],
    ['segmentation of text', { segmentation: 'x' }, 'Expected list of polygons'],
    ['no polygon', { segmentation: [] }, 'Expected at least one polygon for segmentation'],
    [
      'numbers instead of polygons',
      { segmentation: SQUARE },
      'x and y of at least 3 points for segmentation[0]',
    ],
    ['two points', { segmentation: [SQUARE, [1, 2, 3, 4]] }, 'at least 3 points for segmentation[1]'],
    ['odd coordinates', { segmentation: [[1, 2, 3, 4, 5, 6, 7]] }, 'at least 3 points for segmentation[0]'],
    [
      'NaN as null',
      { segmentation: [[1, 2, 3, null, 5, 6]] },
      'finite number for segmentation[0][3] but received null',
    ],
    ['text in a polygon', { segmentation: [[1, 2, 3, '4', 5, 6]] }, 'segmentation[0][3] but received "4"'],
    [
      'far away',
      { segmentation: [[1, 2, 3, 1e7, 5, 6]] },
      'between -1000000 and 1000000 for segmentation[0][3]',
    ],
    [
      'an outline without end',
      { segmentation: [Array.from({ length: 60 }, (_, i) => (i % 4 < 2 ? -1e6 : 1e6))] },
      'Expected outlines of at most 3355443 px for segmentation',
    ],
    [
      'runs too long',
      rle([0, 150, 60]),
      'sum 200 (height · width) for segmentation.counts but received more',
    ],
    ['runs too short', rle([0, 150]), 'for segmentation.counts but received 150'],
    ['a negative run', rle([0, -50, 250]), 'at least 0 for segmentation.counts[1] but received -50'],
    ['half a run', rle([199.5, 0.5]), 'for segmentation.counts[0] but received 199.5'],
    ['runs beyond 2^53', rle([2 ** 53, 2 ** 53]), 'for segmentation.counts[0]'],
    ['text that overruns', rle('0000l8'), 'the run at position 4 is 284 of 200 pixels'],
    ['text cut off', rle('P'), 'the last number is cut off'],
    ['text with other characters', rle('\u20ac'), 'received "€" at position 0'],
    ['counts of another type', rle(5), 'Expected string or list of run lengths for segmentation.counts'],
    [
      'another size',
      rle([200], [20, 10]),
      "Expected [10, 20], the image's [height, width], for segmentation.size",
    ],
    ['absurd size', rle([200], [1e9, 1e9]), 'for segmentation.size but received [1000000000,1000000000]'],
    ['size missing', rle([200], null), 'for segmentation.size'],
    ['id missing', { id: undefined }, 'Expected integer for id but received undefined'],
  ])('%s', async (_, hostile, reason) => {
    const opened = await open(
      [image(1), image(2)],
      [annotation(1, 1), annotation(2, 2, hostile), annotation(3, 2)],
    );
    // Without one of its objects, an image's ground truth would be wrong.
    expect(ids(opened)).toEqual(['000000000001']);
    expect(problems(opened)).toHaveLength(1);
    expect(problems(opened)[0]).toMatch(/^000000000002: /);
    expect(problems(opened)[0]).toContain(reason);
  });

  test('records that belong to no image', async () => {
    const opened = await open(
      [image(1)],
      [
        annotation(1, 1),
        5,
        null,
        annotation(2, '1st' as never),
        annotation(3, 42),
        annotation(4, 42),
        annotation(5, 43),
      ],
    );
    expect(ids(opened)).toEqual(['000000000001']);
    expect(problems(opened)).toEqual([
      'annotations[1]: Expected object for annotations[1] but received 5 of type number',
      'annotations[2]: Expected object for annotations[2] but received null of type null',
      'annotations[3]: Expected integer for image_id but received "1st" of type string',
      'image 42: 2 annotations have its id but images does not list it',
      'image 43: 1 annotation has its id but images does not list it',
    ]);
  });

  test('one id twice, and several reasons for one image', async () => {
    const opened = await open(
      [image(1), image(2)],
      [annotation(7, 1), annotation(7, 2), annotation(8, 2, { iscrowd: -1 }), annotation(9, 2, { area: -1 })],
    );
    expect(problems(opened)).toEqual([
      '000000000002: annotations[1]: an annotation before it has the id 7, too (and 2 more)',
    ]);
  });

  test('names from the prototype are no fields', async () => {
    const text = JSON.stringify({
      images: [image(1), image(2)],
      annotations: [annotation(1, 1), annotation(2, 2)],
      categories: CATEGORIES,
    }).replace('"id":2,"image_id":2', '"__proto__":{"id":2},"image_id":2');
    const opened = await openDataset('coco', await dataset(text));
    expect(problems(opened)).toEqual([
      expect.stringContaining('000000000002: annotations[1]: Expected integer for id'),
    ]);
  });
});

describe('files that are not what they should be', () => {
  const good = JSON.stringify({
    images: [image(1)],
    annotations: [annotation(1, 1)],
    categories: CATEGORIES,
  });
  test.each<[string, string, string[]]>([
    ['empty', '', ['the file ends in the middle (at byte 0)']],
    ['spaces', ' \n ', ['the file ends in the middle']],
    ['a list', '[]', ['expected { but found "["']],
    ['no JSON', 'hello', ['expected { but found "h"']],
    ['two marks of byte order', `\ufeff\ufeff${good}`, ['expected { but found']],
    ['a mark of byte order alone', '\ufeff', ['the file ends in the middle (at byte 3)']],
    ['cut off', good.slice(0, -40), ['the file ends in the middle']],
    ['cut off in a text', good.slice(0, good.indexOf('file_name') + 3), ['the file ends in the middle']],
    ['more behind the end', `${good}}`, ['expected the end of the file', `(at byte ${good.length})`]],
    ['NaN', good.replace('[2,3,6', '[NaN,3,6'), ['annotations[0] is not valid JSON', 'at byte']],
    ['a missing comma', good.replace('],"annotations"', '] "annotations"'), ['expected } but found "\\""']],
    ['a missing colon', good.replace('"images":', '"images"'), ['expected : but found "["']],
    ['a key without quotes', good.replace('"images"', 'images'), ['a key is not valid JSON']],
    ['a missing value', '{"images":,"annotations":[]}', ['expected a value for images']],
    ['a hole in a list', '{"images":[{},,{}]}', ['expected a value for images[1]']],
    [
      'a comma too many',
      good.replace('],"categories"', ',],"categories"'),
      ['expected a value for annotations[1]'],
    ],
    ['things side by side', '{"images":[{}{}]}', ['expected , or ] behind images[0]']],
    ['one key twice', good.replace('"categories":', '"images":'), ['the key "images" occurs twice']],
    ['images no list', '{"images":{},"annotations":[]}', ['expected a list for images', 'type object']],
    ['annotations missing', '{"images":[]}', ['expected the lists images and annotations but found images']],
    ['captions of nothing', '{"info":{}}', ['expected the lists images and annotations but found no lists']],
    ['no images', '{"images":[],"annotations":[]}', ['expected images but found none']],
    ['categories of text', good.replace('"id":18', '"id":"dog"'), ['Expected integer for categories[0].id']],
    ['depth', `{"images":[${'['.repeat(1e6)}`, ['values lie more than 64 deep']],
    [
      'a long record',
      `{"images":[{"a":"${'x'.repeat(5e6)}"}]}`,
      ['expected at most 4194304 bytes for images[0]'],
    ],
    ['a long key', `{"${'x'.repeat(5e6)}":1}`, ['expected at most 4194304 bytes for a key']],
  ])('%s', async (_, text, expected) => {
    const root = await dataset(text);
    await expectSamError(openDataset('coco', root), 'ERR_DATASET', ...expected);
  });

  test('a folder instead of the file', async () => {
    const root = await dataset(good);
    rmSync(`${root}/annotations/instances_val2017.json`);
    write(`${root}/annotations/instances_val2017.json/x`, '');
    await expectSamError(openDataset('coco', root), 'ERR_IO', 'it is a directory');
  });

  test('broken bytes: an error or a named problem, never a crash', async () => {
    const text = Buffer.from(
      JSON.stringify({
        images: [image(1), image(2)],
        annotations: [
          annotation(1, 1),
          annotation(2, 2, { segmentation: { size: [10, 20], counts: [0, 50, 150] } }),
          annotation(3, 2, { segmentation: encodeRle(new Uint8Array(200).fill(1, 30, 60), 20, 10) }),
        ],
        categories: CATEGORIES,
      }),
    );
    const file = path.join(parent, 'broken.json');
    let seed = 6;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    // A longer run: ROUNDS=100000 npx vitest run test/eval/datasets/coco.test.ts -t broken
    const outcomes = { opened: 0, refused: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = Buffer.from(text);
      for (let k = random(3); k >= 0; k--) {
        const at = random(bytes.length);
        if (random(4) === 0) bytes.copyWithin(at, random(bytes.length));
        else bytes[at] = random(3) === 0 ? random(256) : '0123456789-.e,:[]{}" \\'.charCodeAt(random(22));
      }
      write(file, bytes);
      try {
        for (const { fileName, width, height, instances } of (await readCocoFile(file)).images) {
          expect(path.resolve('/images', fileName)).toMatch(/^\/images\//);
          for (const { mask } of await instances()) expect(mask.data.length).toBe(width * height);
        }
        outcomes.opened++;
      } catch (error) {
        expect((error as Error).name, (error as Error).stack).toBe('SamError');
        expect((error as { code: string }).code).not.toBe('ERR_INTERNAL');
        outcomes.refused++;
      }
    }
    expect(outcomes.opened).toBeGreaterThan(100);
    expect(outcomes.refused).toBeGreaterThan(100);
  });
});
