import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openDataset } from '../../../lib/eval/datasets';
import { readMask } from '../../../lib/eval/datasets/mask';
import { evaluate } from '../../../lib/eval/evaluate';
import { lineOf } from '../../../lib/eval/journal-lines';
import type { Dataset } from '../../../lib/eval/types';
import { readImageSize } from '../../../lib/image/header';
import { native } from '../../../lib/native';
import type { EvaluateOptions } from '../../../lib/options/evaluate';
import { BUNDLED_MODEL, Sam } from '../../../lib/sam';
import { discMask, drawCoco, drawFolder, drawMask, scene, temporaryFolder } from './drawn';

interface Results {
  settings: Record<string, unknown>;
  evaluated: number;
  problems: { id: string; reason: string }[];
  notes: string[];
  means: { size: number; attention: string; values: Record<string, number | null> }[];
  rows: { id: string; size: number; attention: string; values: Record<string, number | null> }[];
}

const folder = temporaryFolder();
const root = path.join(folder, 'drawn');
let sam: Sam;
beforeAll(async () => {
  await drawFolder(root, 3);
  sam = await Sam.load();
});
afterAll(() => sam.dispose());

let outs = 0;
const newOut = () => path.join(folder, `out-${outs++}`);

async function run(options: Partial<EvaluateOptions> = {}): Promise<Results & { out: string }> {
  const out = options.out ?? newOut();
  await evaluate({
    ...{ dataset: 'folder', root, sizes: [256], attention: ['plain'], metrics: ['iou'], ...options },
    out,
  });
  return { ...JSON.parse(readFileSync(path.join(out, 'results.json'), 'utf8')), out };
}

function iou(a: Uint8Array, b: Uint8Array): number {
  let [both, any] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    both += a[i]! & b[i]!;
    any += a[i]! | b[i]!;
  }
  return both / any;
}

const imageOf = (index: number) => path.join(root, 'images', `p${index}.png`);
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b) / values.length;

describe('numbers', () => {
  it("are those of the library's own masks, at every size and setting", async () => {
    const results = await run({
      sizes: [192, 320],
      attention: ['plain', 'length-scale', 'length-scale+distance'],
    });
    expect(results.rows.map(({ id, size, attention }) => `${id} ${size} ${attention}`)).toEqual(
      ['p0', 'p1', 'p2'].flatMap((id) =>
        [192, 320].flatMap((size) =>
          ['plain', 'length-scale', 'length-scale+distance'].map((name) => `${id} ${size} ${name}`),
        ),
      ),
    );
    const settings = {
      plain: {},
      'length-scale': { lengthScale: true },
      'length-scale+distance': { lengthScale: true, distance: { metric: 'euclidean', slopes: 0.1 } },
    } as const;
    for (const size of [192, 320]) {
      for (const attention of ['plain', 'length-scale', 'length-scale+distance'] as const) {
        const expected: number[] = [];
        for (const index of [0, 1, 2]) {
          const { width, height, disc } = scene(index);
          const truth = discMask(width, height, disc);
          const embedding = await sam.encode(imageOf(index), { longestSide: size, ...settings[attention] });
          const box = tightBox(truth, width);
          expected.push(iou((await sam.predict(embedding, { box })).best.data, truth));
        }
        const rows = results.rows.filter((row) => row.size === size && row.attention === attention);
        expect(rows.map(({ values }) => values.iou)).toEqual(expected);
        const found = results.means.find((one) => one.size === size && one.attention === attention)!;
        expect(found.values.iou).toBeCloseTo(mean(expected), 12);
      }
    }
    expect(new Set(results.means.map(({ values }) => values.iou)).size).toBe(6);
  });

  it('are of the penalty, the padding and the dtype that were asked for', async () => {
    const { width, height, disc } = scene(1);
    const truth = discMask(width, height, disc);
    const distance = { metric: 'euclidean', slopes: [0.5, 0, 2], start: 3 } as const;
    const encode = { longestSide: 320, pad: false, lengthScale: true, distance };
    const embedding = await sam.encode(imageOf(1), encode);
    const expected = iou((await sam.predict(embedding, { box: tightBox(truth, width) })).best.data, truth);
    const asked = {
      sizes: [320],
      attention: ['length-scale+distance'],
      metrics: ['iou', 'mae'],
      pad: false,
      distance,
    } as const;
    const { values } = (await run(asked)).rows[1]!;
    expect(values.iou).toBe(expected);
    const others: Partial<EvaluateOptions>[] = [{ pad: true }, { distance: undefined }];
    if (native().info().bf16UnavailableReason === '') others.push({ dtype: 'bf16' });
    for (const other of others) {
      expect((await run({ ...asked, ...other })).rows[1]!.values.mae).not.toBe(values.mae);
    }
  });

  it('of F are averaged over images, or over the dataset', async () => {
    const options = { metrics: ['f-measure'] } as const;
    const [images, dataset] = [await run(options), await run({ ...options, averageF: 'dataset' })];
    expect(dataset.means[0]!.values.adaptiveF).toBe(images.means[0]!.values.adaptiveF);
    expect(dataset.means[0]!.values.meanF).not.toBe(images.means[0]!.values.meanF);
  });

  it('are of the best-scored mask of a grid, or of the union', async () => {
    const grid = [1 / 6, 3 / 6, 5 / 6];
    for (const combine of ['best', 'union'] as const) {
      const results = await run({ prompt: 'grid', grid: 3, combine, limit: 1, multimask: true });
      const { width, height, disc } = scene(0);
      const embedding = await sam.encode(imageOf(0), { longestSide: 256 });
      const prompts = grid.flatMap((y) => grid.map((x) => ({ points: [[x * width, y * height]] as const })));
      const all = (await sam.predict(embedding, prompts, { multimask: true })).map(({ best }) => best);
      const best = all.reduce((a, b) => (b.score > a.score ? b : a)).data;
      const union = best.map((_, i) => Math.max(...all.map(({ data }) => data[i]!)));
      const expected = iou(combine === 'best' ? best : union, discMask(width, height, disc));
      expect(results.rows.map(({ values }) => values.iou)).toEqual([expected]);
    }
  });

  it('are of one prompt at the centre, or inside the truth', async () => {
    const { width, height, disc } = scene(0);
    const embedding = await sam.encode(imageOf(0), { longestSide: 256 });
    for (const [prompt, point] of [
      ['center', [width / 2, height / 2]],
      ['gt-point', [disc.x, disc.y]],
    ] as const) {
      const { data } = (await sam.predict(embedding, { points: [[point[0], point[1]]] })).best;
      const results = await run({ prompt, limit: 1 });
      expect(results.rows[0]!.values.iou).toBe(iou(data, discMask(width, height, disc)));
    }
  });

  it('of maps are of probabilities, as they are or stretched', async () => {
    const [stretched, plain] = [
      await run({ metrics: ['mae'] }),
      await run({ metrics: ['mae'], normalize: false }),
    ];
    const { width, height, disc } = scene(0);
    const truth = discMask(width, height, disc);
    const embedding = await sam.encode(imageOf(0), { longestSide: 256 });
    const { data } = (await sam.predict(embedding, { box: tightBox(truth, width) })).best;
    // Probabilities are near the mask, not it: the error is that of the mask give or take a soft edge.
    const hard = data.reduce((sum, value, i) => sum + Math.abs(value - truth[i]!), 0) / data.length;
    const soft = plain.rows[0]!.values.mae!;
    expect(Math.abs(soft - hard)).toBeGreaterThan(1e-4);
    expect(Math.abs(soft - hard)).toBeLessThan(0.02);
    expect(stretched.rows[0]!.values.mae).not.toBe(soft);
  });

  it('of instances are of each, with its own prompt', async () => {
    const coco = await drawCoco(path.join(folder, 'coco'));
    const results = await run({ dataset: 'coco', root: coco, metrics: undefined });
    const boxes = [
      [
        [10, 20, 50, 56],
        [70, 40, 106, 80],
      ],
      [[30, 30, 80, 74]],
    ];
    const all: number[] = [];
    for (const [i, own] of boxes.entries()) {
      const file = path.join(coco, 'val2017', `00000000000${i + 1}.png`);
      const embedding = await sam.encode(file, { longestSide: 256 });
      const predictions = await sam.predict(
        embedding,
        own.map((box) => ({ box: box as [number, number, number, number] })),
      );
      const ious = predictions.map(({ best }, at) => {
        const [x0, y0, x1, y1] = own[at]!;
        const truth = best.data.map((_, p) => {
          const [x, y] = [p % 120, Math.floor(p / 120)];
          return x >= x0! && x < x1! && y >= y0! && y < y1! ? 1 : 0;
        });
        return iou(best.data, truth);
      });
      expect(results.rows[i]!.values.iou).toBeCloseTo(mean(ious), 12);
      all.push(...ious);
    }
    const { iou: miou, AP, AP50, APsmall } = results.means[0]!.values;
    expect(miou).toBeCloseTo(mean(all), 12);
    expect(Math.min(...all)).toBeGreaterThan(0.5);
    // Every object is found at 0.5; how far beyond is the model's affair. None is smaller than 32² px.
    expect(AP50).toBe(1);
    expect(AP).toBeGreaterThan(0.3);
    expect(APsmall).toBeNull();
  });
});

describe('work', () => {
  it('encodes an image once per size and setting, whatever is asked of it', async () => {
    const encode = vi.spyOn(Sam.prototype, 'encode');
    try {
      await run({ dataset: 'coco', root: await drawCoco(path.join(folder, 'coco-once')), sizes: [128, 256] });
      expect(encode).toHaveBeenCalledTimes(4);
    } finally {
      encode.mockRestore();
    }
  });

  it('takes only the first images, and leaves out what cannot be used, by name', async () => {
    const broken = await drawFolder(path.join(folder, 'broken'), 4);
    await drawMask(path.join(broken, 'masks', 'p1.png'), 112, 80, new Uint8Array(112 * 80));
    rmSync(path.join(broken, 'masks', 'p2.png'));
    // A header that is right and pixels that are not: nobody knows before the image is read.
    const image = readFileSync(path.join(broken, 'images', 'p3.png'));
    writeFileSync(path.join(broken, 'images', 'p3.png'), image.subarray(0, image.length / 2));
    const results = await run({ root: broken });
    expect(results.evaluated).toBe(1);
    expect(results.rows.map(({ id }) => id)).toEqual(['p0']);
    const reasons = Object.fromEntries(results.problems.map(({ id, reason }) => [path.basename(id), reason]));
    expect(reasons.p1).toBe('the ground truth is empty: it gives no gt-box');
    expect(reasons.p3).toMatch(/^Cannot decode .*p3\.png/);
    expect(results.problems).toHaveLength(3);

    await expect(run({ root: broken, strict: true })).rejects.toMatchObject({ code: 'ERR_DATASET' });
    const limited = await run({ root: broken, limit: 1 });
    expect(limited.rows.map(({ id }) => id)).toEqual(['p0']);
  });

  it('leaves out a mask of another size than its image', async () => {
    const { samples, ...rest } = await openDataset('folder', root);
    const mask = { data: new Uint8Array(12).fill(1), width: 4, height: 3 };
    const dataset = { ...rest, samples: [samples[0]!, { ...samples[1]!, mask: async () => mask }] };
    expect((await run({ dataset, root: undefined })).problems).toEqual([
      {
        id: 'p1',
        reason: 'expected a ground truth of 112 × 80 px, the size of the image, but found 4 × 3',
      },
    ]);
  });

  it('ends with an error when nothing can be used', async () => {
    const empty = await drawFolder(path.join(folder, 'all-empty'), 1);
    await drawMask(path.join(empty, 'masks', 'p0.png'), 96, 80, new Uint8Array(96 * 80));
    await expect(run({ root: empty })).rejects.toThrow(
      /expected usable images but found none of 1; first p0: the ground truth is empty/,
    );
  });

  it('says which masks hold 0 and 1, also when it was resumed', async () => {
    const ones = await drawFolder(path.join(folder, 'ones'), 3);
    for (const name of ['p0', 'p2']) {
      const file = path.join(ones, 'masks', `${name}.png`);
      const { data, info } = await sharp(file)
        .toColourspace('b-w')
        .raw()
        .toBuffer({ resolveWithObject: true });
      const { width, height } = info;
      await sharp(
        data.map((v) => v / 255),
        { raw: { width, height, channels: 1 } },
      )
        .toColourspace('b-w')
        .png()
        .toFile(file);
    }
    const [plain, noted] = [await run(), await run({ root: ones })];
    expect(noted.rows).toEqual(plain.rows);
    expect([plain.notes, noted.notes]).toEqual([[], ['2 masks of 0 and 1 are read as 0 and 255: p0, p2']]);
    expect(await run({ root: ones, out: noted.out, resume: true })).toEqual(noted);
  });

  it('takes pixels as they are stored, when EXIF is to be ignored', async () => {
    const turned = await drawFolder(path.join(folder, 'turned'), 2);
    const file = path.join(turned, 'images', 'p0.png');
    const stored = await sharp(file).withMetadata({ orientation: 3 }).png().toBuffer();
    writeFileSync(file, stored);
    const plain = (await run({ limit: 2 })).rows;
    const applied = await run({ root: turned });
    expect(applied.notes).toEqual([
      expect.stringMatching(/^1 images and their masks have different .*: p0$/),
    ]);
    expect(applied.rows[0]!.values.iou).toBeLessThan(plain[0]!.values.iou! - 0.1);
    expect(applied.rows[1]).toEqual(plain[1]);
    const ignored = await run({ root: turned, exif: 'ignore' });
    expect([ignored.rows, ignored.notes, ignored.settings.exif]).toEqual([plain, [], 'ignore']);
    await expect(run({ root: turned, out: ignored.out, resume: true })).rejects.toThrow(
      'exif was "ignore" and is "apply" now',
    );
    const dataset = await openDataset('folder', turned, { exif: 'ignore' });
    expect((await run({ dataset, root: undefined })).rows).toEqual(plain);
    await expect(run({ dataset, root: undefined, exif: 'ignore' })).rejects.toThrow(
      'Expected a dataset by name with exif',
    );
  });

  it('takes images and masks of as many pixels as are allowed', async () => {
    const one = await drawFolder(path.join(folder, 'one'), 1);
    const { width, height } = await readImageSize(path.join(one, 'images', 'p0.png'));
    const limitInputPixels = width * height;
    expect((await run({ root: one, limitInputPixels })).rows).toEqual((await run({ root: one })).rows);
    const fewer = limitInputPixels - 1;
    const message = `exceeds limitInputPixels (${fewer})`;
    await expect(run({ root: one, limitInputPixels: fewer })).rejects.toThrow(message);
    const mask = readMask(path.join(one, 'masks', 'p0.png'), { limitInputPixels: fewer });
    await expect(mask).rejects.toThrow(message);
    const dataset = await openDataset('folder', root, { limitInputPixels });
    await expect(run({ dataset, root: undefined, limitInputPixels })).rejects.toThrow(
      'Expected a dataset by name with limitInputPixels',
    );
  });

  it('takes a dataset that is open', async () => {
    const dataset = await openDataset('folder', root);
    const [named, opened] = [await run(), await run({ dataset, root: undefined })];
    expect(opened.rows).toEqual(named.rows);
  });

  it('holds one image at a time', async () => {
    const { samples, ...rest } = await openDataset('folder', root);
    let open = 0;
    const begun: string[] = [];
    const dataset: Dataset = {
      ...rest,
      samples: samples.map((sample) => ({
        ...sample,
        mask: () => {
          begun.push(sample.id);
          open = Math.max(open, begun.length - finished);
          return sample.mask!();
        },
      })),
    };
    let finished = 0;
    await run({ dataset, root: undefined, onProgress: ({ done }) => (finished = done) });
    expect(begun).toEqual(['p0', 'p1', 'p2']);
    expect(open).toBe(1);
  });
});

describe('a model that computes NaN', () => {
  /** The bundled model with one number in one tensor that is none. */
  function broken(tensor: string): string {
    const bytes = readFileSync(BUNDLED_MODEL);
    const length = Number(bytes.readBigUInt64LE(0));
    const { dtype, data_offsets } = JSON.parse(bytes.toString('utf8', 8, 8 + length))[tensor];
    const at = 8 + length + data_offsets[0];
    if (dtype === 'F32') bytes.writeFloatLE(Number.NaN, at);
    else bytes.writeUInt16LE(0x7fff, at);
    const file = path.join(folder, `${tensor}.safetensors`);
    writeFileSync(file, bytes);
    return file;
  }

  it.each<[string, Partial<EvaluateOptions>]>([
    ['image_encoder.blocks.0.mlp.lin1.weight', {}],
    ['mask_decoder.output_upscaling.0.bias', {}],
    ['mask_decoder.iou_prediction_head.layers.2.bias', {}],
    ['mask_decoder.iou_prediction_head.layers.2.bias', { prompt: 'grid', combine: 'best' }],
    ['mask_decoder.iou_prediction_head.layers.2.bias', { prompt: 'grid', combine: 'union' }],
  ])('%s %j: an error that names model and image', async (tensor, options) => {
    const model = broken(tensor);
    const out = newOut();
    const error = await run({ model, out, ...options }).catch((reason) => reason);
    expect(error).toMatchObject({ code: 'ERR_NOT_FINITE' });
    expect(error.message).toContain(model);
    expect(error.message).toMatch(/\bp0\b/);
    expect(readdirSync(out)).toEqual([]);
  });
});

describe('resuming', () => {
  const two = {
    sizes: [128, 256],
    attention: ['plain', 'length-scale+distance'],
    metrics: ['iou', 'mae', 'f-measure'],
  } as const;

  it('gives the same files, byte for byte, wherever the journal was cut off', async () => {
    const whole = await run(two);
    const files = ['results.json', 'results.md', 'chart.svg', 'chart.png'];
    const expected = files.map((name) => readFileSync(path.join(whole.out, name)));
    const journal = readFileSync(path.join(whole.out, 'journal.jsonl'));
    const ends = [...journal.entries()].filter(([, byte]) => byte === 10).map(([at]) => at + 1);
    expect(ends).toHaveLength(1 + 3 * 4);
    for (const cut of [ends[0]!, ends[7]! + 100, journal.length]) {
      const out = newOut();
      mkdirSync(out);
      writeFileSync(path.join(out, 'journal.jsonl'), journal.subarray(0, cut));
      const steps: number[] = [];
      await run({ ...two, out, resume: true, onProgress: ({ done }) => steps.push(done) });
      const kept = ends.filter((end) => end <= cut).length - 1;
      expect(steps).toEqual(kept === 12 ? [] : Array.from({ length: 13 - kept }, (_, i) => kept + i));
      expect(
        files.map((name) => readFileSync(path.join(out, name)).equals(expected[files.indexOf(name)]!)),
      ).toEqual(files.map(() => true));
    }
  });

  it('goes on after an abort', async () => {
    const whole = await run(two);
    const out = newOut();
    const controller = new AbortController();
    const reason = new Error('enough');
    const onProgress = ({ done }: { done: number }) => done === 5 && controller.abort(reason);
    await expect(run({ ...two, out, onProgress, signal: controller.signal })).rejects.toBe(reason);
    expect(readdirSync(out)).toEqual(['journal.jsonl']);
    const resumed = await run({ ...two, out, resume: true });
    expect(resumed.rows).toEqual(whole.rows);
    expect(resumed.means).toEqual(whole.means);
  });

  it('does not try again what could not be used, unless it must not be left out', async () => {
    const data = await drawFolder(path.join(folder, 'repaired'), 2);
    const { width, height, disc } = scene(1);
    const file = path.join(data, 'masks', 'p1.png');
    await drawMask(file, width, height, new Uint8Array(width * height));
    const first = await run({ root: data });
    await drawMask(file, width, height, discMask(width, height, disc));
    const { out } = first;
    expect(await run({ root: data, out, resume: true })).toEqual(first);
    await expect(run({ root: data, out, resume: true, strict: true })).rejects.toThrow(
      'p1: the ground truth is empty: it gives no gt-box',
    );
  });

  it('is not needed after an error before the first row', async () => {
    const load = vi.spyOn(Sam, 'load').mockRejectedValueOnce(new Error('no memory'));
    const out = newOut();
    await expect(run({ out })).rejects.toThrow('no memory');
    load.mockRestore();
    expect((await run({ out })).evaluated).toBe(3);
  });

  it('ignores the order of metrics, and nothing else', async () => {
    const { out } = await run({ metrics: ['mae', 'iou'] });
    await run({ metrics: ['iou', 'mae'], out, resume: true });
    for (const [changed, name] of [
      [{ metrics: ['iou'] }, 'metrics'],
      [{ sizes: [128] }, 'sizes'],
      [{ attention: ['length-scale+distance'] }, 'attention'],
      [{ prompt: 'center' }, 'prompt'],
      [{ limit: 2 }, 'images'],
      [{ multimask: true }, 'multimask'],
      [{ pad: false }, 'pad'],
      [{ normalize: false }, 'metrics'],
      [{ root: `${root}/../broken` }, 'dataset'],
    ] as const) {
      const attempt = run({
        metrics: ['mae', 'iou'],
        out,
        resume: true,
        ...changed,
      } as Partial<EvaluateOptions>);
      await expect(attempt).rejects.toThrow(`the evaluation was begun with but ${name} was`);
    }
  });

  it('refuses a row whose state is not one', async () => {
    const { out } = await run({ limit: 1 });
    const journal = path.join(out, 'journal.jsonl');
    const [header] = readFileSync(journal, 'utf8').split('\n');
    writeFileSync(journal, `${header}\n`);
    appendFileSync(journal, lineOf({ sample: 0, cell: 0, values: {}, state: { masks: 3 } }));
    await expect(run({ limit: 1, out, resume: true })).rejects.toThrow(
      "expected the metrics' state in the row of p0 but found something else",
    );
  });
});

describe('refusals before any work', () => {
  it.each([
    [{ sizes: [256, 0] }, 'Expected integer between 1 and 16384 for options.sizes.1 but received 0'],
    [{ sizes: [256.5] }, 'Expected integer between 1 and 16384 for options.sizes.0 but received 256.5'],
    [{ sizes: [] }, 'Expected at least 1 items for options.sizes'],
    [{ sizes: [256, 256] }, 'Expected no value twice for options.sizes'],
    [{ metrics: ['iuo'] }, 'Expected one of: mae, f-measure, '],
    [{ metrics: ['ap'] }, 'Expected metrics on masks but received ap'],
    [
      { attention: ['both'] },
      'Expected one of: plain, length-scale, length-scale+distance, released-code for options.attention.0',
    ],
    [
      { attention: ['released-code'] },
      'Attention released-code at size 256: Expected a longest side of at least',
    ],
    [
      { prompt: 'box' },
      'Expected one of: gt-box, gt-point, center, grid for options.prompt but received "box"',
    ],
    [
      { dataset: 'coco2' },
      'Expected one of: dis5k, duts, isic2016, cod10k, coco, folder, or a dataset for options.',
    ],
    [{ root: undefined }, 'Expected folder of the dataset for options.root but received undefined'],
    [{ limit: 0 }, 'Expected number of at least 1 for options.limit but received 0'],
    [{ workers: 0 }, 'Expected number of at least 1 for options.workers but received 0'],
    [{ device: ['cpu', 'cuda:0'], workers: 2 }, 'Expected CUDA devices only in a list of several'],
    [{ device: ['cuda:0', 'cuda:1'] }, 'Expected at least as many workers as devices (2) but received 1'],
    [{ device: 'gpu' }, 'Expected auto, cpu, cuda, cuda:<index> or several of them for options.device'],
    [{ model: '/nowhere/model.pth' }, '/nowhere/model.pth'],
    [{ colour: 'red' }, 'Expected known options for options but received colour'],
    [{ resume: true }, 'Expected an evaluation to resume in '],
    [
      { distance: { metric: 'manhattan', slopes: [1, 2] }, attention: ['length-scale+distance'] },
      '3 heads) but received 2',
    ],
  ])('%j', async (options, message) => {
    const load = vi.spyOn(Sam, 'load');
    const out = newOut();
    const attempt = run({ ...options, out } as Partial<EvaluateOptions>);
    await expect(attempt).rejects.toThrow(message);
    await expect(attempt).rejects.toMatchObject({ name: 'SamError' });
    expect(load).not.toHaveBeenCalled();
    load.mockRestore();
    expect(readdirSync(folder)).not.toContain(path.basename(out));
  });

  it('an empty dataset', async () => {
    const empty = path.join(folder, 'empty');
    for (const name of ['images', 'masks']) mkdirSync(path.join(empty, name), { recursive: true });
    await expect(run({ root: empty })).rejects.toMatchObject({ code: 'ERR_DATASET' });
    const dataset = { name: 'mine', root: empty, samples: [], problems: [{ id: 'a', reason: 'gone' }] };
    await expect(run({ dataset })).rejects.toThrow(
      `${empty}: expected images of mine but found none; 1 could not be used, first a: gone`,
    );
  });

  it('prompts that do not look at instances', async () => {
    const coco = await drawCoco(path.join(folder, 'coco-grid'));
    await expect(run({ dataset: 'coco', root: coco, prompt: 'grid' })).rejects.toThrow(
      /Expected gt-box or gt-point for prompt but received grid: .*has instances/,
    );
  });

  it('a dataset that workers cannot open', async () => {
    const dataset = await openDataset('folder', root);
    await expect(run({ dataset, workers: 2 })).rejects.toThrow(
      'Expected a dataset by name with several workers',
    );
  });

  it('a folder that cannot be written, or has an evaluation in it', async () => {
    const file = path.join(folder, 'file');
    writeFileSync(file, '');
    for (const out of [file, path.join(file, 'below')]) {
      await expect(run({ out })).rejects.toMatchObject({ code: 'ERR_IO' });
    }
    const { out } = await run({ limit: 1 });
    await expect(run({ out, limit: 1 })).rejects.toThrow(
      /journal\.jsonl exists: resume it, or choose another/,
    );
  });
});

function tightBox(mask: Uint8Array, width: number): [number, number, number, number] {
  const xs = [...mask.keys()].filter((i) => mask[i] === 1).map((i) => i % width);
  const ys = [...mask.keys()].filter((i) => mask[i] === 1).map((i) => Math.floor(i / width));
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs) + 1, Math.max(...ys) + 1];
}
