// Pairs of folders in every layout: which files become samples, and what is said about the others.
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { openDataset } from '../../../lib/eval/datasets';
import { expectSamError } from '../../image/helpers';
import { areas, drawImage, drawMask, drawPairs, ids, problems, temporaryFolder, write } from './draw';

const parent = temporaryFolder();
/** A fresh empty folder. */
function folder(): string {
  return mkdtempSync(path.join(parent, 'data-'));
}

describe('DIS5K', () => {
  const root = path.join(folder(), 'DIS5K');

  test('splits, by any capitals, from its folder or the one above', async () => {
    await drawPairs(`${root}/DIS-VD/im`, `${root}/DIS-VD/gt`, ['1#Accessories#1', '10.5 @b', '2']);
    await drawPairs(`${root}/DIS-TE3/im`, `${root}/DIS-TE3/gt`, ['x']);
    for (const [place, split] of [
      [root, 'VD'],
      [path.dirname(root), 'vd'],
      [`${root}/`, 'Vd'],
    ] as const) {
      const dataset = await openDataset('dis5k', place, { split, strict: true });
      expect(dataset).toMatchObject({ name: 'DIS5K VD', root: place, problems: [], notes: [] });
      expect(ids(dataset)).toEqual(['1#Accessories#1', '10.5 @b', '2']);
      expect(await areas(dataset)).toEqual([6, 12, 18]);
      expect(path.resolve(dataset.samples[1]!.image)).toBe(`${root}/DIS-VD/im/10.5 @b.jpg`);
    }
    expect(ids(await openDataset('dis5k', root, { split: 'TE3' }))).toEqual(['x']);
  });

  test('an unknown split lists those that there are; an absent one says what is there', async () => {
    await expectSamError(
      openDataset('dis5k', root, { split: 'TE5' }),
      'ERR_INVALID_ARGUMENT',
      'Expected one of TR, VD, TE1, TE2, TE3, TE4, TE for split but received "TE5"',
    );
    await expectSamError(
      openDataset('dis5k', root, { split: 'TE1' }),
      'ERR_DATASET',
      `Expected the folders DIS-TE1/im and DIS-TE1/gt for DIS5K TE1 in ${root} or one folder below`,
      'but found the parts VD, TE3',
    );
    const empty = folder();
    mkdirSync(`${empty}/other`);
    await expectSamError(openDataset('dis5k', empty), 'ERR_DATASET', 'but found the folders other');
  });

  test('TE is the four test sets together, and the default', async () => {
    const all = folder();
    for (const n of [1, 2, 3, 4]) {
      await drawPairs(`${all}/DIS-TE${n}/im`, `${all}/DIS-TE${n}/gt`, n === 2 ? ['a', 'b'] : ['a']);
    }
    rmSync(`${all}/DIS-TE4/gt/a.png`);
    const dataset = await openDataset('dis5k', all);
    expect(dataset.name).toBe('DIS5K TE');
    expect(ids(dataset)).toEqual(['TE1/a', 'TE2/a', 'TE2/b', 'TE3/a']);
    expect(dataset.problems.map(({ id }) => id)).toEqual(['TE4/a']);
    rmSync(`${all}/DIS-TE4`, { recursive: true });
    await expectSamError(openDataset('dis5k', all), 'ERR_DATASET', 'the folders DIS-TE4/im and DIS-TE4/gt');
  });

  test('the same split twice', async () => {
    const root = folder();
    await drawPairs(`${root}/a/DIS-VD/im`, `${root}/a/DIS-VD/gt`, ['x']);
    // A link to the same folder is no second one.
    symlinkSync('a', `${root}/link`);
    expect(ids(await openDataset('dis5k', root, { split: 'VD' }))).toEqual(['x']);
    await drawPairs(`${root}/b/DIS-VD/im`, `${root}/b/DIS-VD/gt`, ['x']);
    await expectSamError(
      openDataset('dis5k', root, { split: 'VD' }),
      'ERR_DATASET',
      `once in ${root} but found ${root}/a/DIS-VD/im and ${root}/b/DIS-VD/im`,
    );
  });
});

test('DUTS', async () => {
  const root = folder();
  for (const split of ['TR', 'TE']) {
    const base = `${root}/DUTS-${split}/DUTS-${split}`;
    await drawPairs(`${base}-Image`, `${base}-Mask`, [`ILSVRC2012_${split}_00000003`, 'sun_a']);
  }
  const test = await openDataset('duts', root);
  expect(test.name).toBe('DUTS TE');
  expect(ids(test)).toEqual(['ILSVRC2012_TE_00000003', 'sun_a']);
  expect(await areas(test)).toEqual([6, 12]);
  expect(ids(await openDataset('duts', root, { split: 'TR' }))).toEqual(['ILSVRC2012_TR_00000003', 'sun_a']);
});

describe('ISIC 2016', () => {
  const names = ['ISIC_0000003', 'ISIC_0000012', 'ISIC_0000013'];
  const [images, masks] = ['ISBI2016_ISIC_Part1_Test_Data', 'ISBI2016_ISIC_Part1_Test_GroundTruth'];
  const csv = `${masks}.csv`;
  const line = (name: string, i: number) => `${i},${images}/${name}.jpg,${masks}/${name}_Segmentation.png`;

  async function draw(): Promise<string> {
    const root = folder();
    await drawPairs(`${root}/${images}`, `${root}/${masks}`, names, '_Segmentation');
    return root;
  }

  test('without the csv', async () => {
    const root = await draw();
    const dataset = await openDataset('isic2016', root, { strict: true });
    expect(dataset.name).toBe('ISIC 2016 test');
    expect(ids(dataset)).toEqual(names);
    expect(await areas(dataset)).toEqual([6, 12, 18]);
    await expectSamError(openDataset('isic2016', root, { split: 'train' }), 'ERR_DATASET', 'the parts test');
    rmSync(`${root}/${masks}/ISIC_0000012_Segmentation.png`);
    expect(problems(await openDataset('isic2016', root))).toEqual([
      `ISIC_0000012: its mask is missing: expected ISIC_0000012_Segmentation.* in ${root}/${masks}`,
    ]);
  });

  test('the csv of the released code chooses and orders', async () => {
    const root = await draw();
    write(`${root}/${csv}`, `\ufeff,img,seg\r\n${line(names[2]!, 0)}\r\n${line(names[0]!, 1)}\r\n`);
    const dataset = await openDataset('isic2016', root, { strict: true });
    expect(ids(dataset)).toEqual([names[2], names[0]]);
    expect(await areas(dataset)).toEqual([18, 6]);
    expect(dataset.notes).toEqual([`1 images that ${csv} does not list left out: ISIC_0000012`]);
  });

  test('a csv with the separators of Windows', async () => {
    const root = await draw();
    write(
      `${root}/${csv}`,
      `,img,seg\n${[names[1]!, names[0]!].map(line).join('\n').replaceAll('/', '\\')}\n`,
    );
    const dataset = await openDataset('isic2016', root, { strict: true });
    expect(ids(dataset)).toEqual([names[1], names[0]]);
    expect(await areas(dataset)).toEqual([12, 6]);
  });

  test('a csv with lines that cannot be used', async () => {
    const root = await draw();
    write(
      `${root}/${csv}`,
      [
        ',img,seg',
        line(names[0]!, 0),
        `1,../${path.basename(root)}/${images}/ISIC_0000012.jpg,${masks}/ISIC_0000012_Segmentation.png`,
        '2,/etc/passwd,/etc/passwd',
        'short',
        line('ISIC_0000099', 3),
        line(names[0]!, 4),
      ].join('\n'),
    );
    const dataset = await openDataset('isic2016', root);
    expect(ids(dataset)).toEqual([names[0]]);
    expect(problems(dataset)).toEqual([
      expect.stringContaining(`line 3 of ${csv}: expected number, image, mask below ${root}: "1,../`),
      expect.stringContaining(`line 4 of ${csv}: expected number, image, mask below`),
      expect.stringContaining(`line 5 of ${csv}: `),
      `ISIC_0000003: line 7 of ${csv} repeats it`,
      `ISIC_0000099: Cannot read ${root}/${images}/ISIC_0000099.jpg: no such file or directory`,
    ]);
  });
});

describe('COD10K', () => {
  test("the packages of SINet's successors, with the test sets beside it", async () => {
    const root = folder();
    const sets = {
      COD10K: 'COD10K-CAM-1-Aquatic-1-BatFish-1',
      CAMO: 'camourflage_00012',
      CHAMELEON: 'animal-1',
      NC4K: '1',
    };
    await drawPairs(`${root}/TrainDataset/Imgs`, `${root}/TrainDataset/GT`, [
      'camourflage_00001',
      'COD10K-CAM-1',
    ]);
    for (const [name, id] of Object.entries(sets)) {
      await drawPairs(`${root}/TestDataset/${name}/Imgs`, `${root}/TestDataset/${name}/GT`, [id]);
    }
    for (const [split, expected] of Object.entries({
      train: ['COD10K-CAM-1', 'camourflage_00001'],
      test: [sets.COD10K],
      CAMO: [sets.CAMO],
      CHAMELEON: [sets.CHAMELEON],
      NC4K: [sets.NC4K],
    })) {
      const dataset = await openDataset('cod10k', root, { split, strict: true });
      expect(dataset.name).toBe(`COD10K ${split}`);
      expect(ids(dataset)).toEqual(expected);
    }
    expect(ids(await openDataset('cod10k', root))).toEqual([sets.COD10K]);
    // The package with its own folder for each set is a root, too.
    expect(ids(await openDataset('cod10k', `${root}/TestDataset`, { split: 'test' }))).toEqual([sets.COD10K]);
  });

  test('the official package: images without a camouflaged object are left out, with and without masks', async () => {
    const root = folder();
    for (const split of ['Train', 'Test']) {
      const base = `${root}/COD10K-v3/${split}`;
      await drawPairs(`${base}/Image`, `${base}/GT_Object`, ['COD10K-CAM-1-Aquatic-1-BatFish-1']);
      await drawImage(`${base}/Image/COD10K-NonCAM-2-Terrestrial-31-Gecko-1.jpg`);
      await drawImage(`${base}/Image/COD10K-NonCAM-5-Background-5-Vegetation-4854.jpg`);
      await drawMask(`${base}/GT_Object/COD10K-NonCAM-5-Background-5-Vegetation-4854.png`, 0);
      await drawMask(`${base}/GT_Object/COD10K-NonCAM-3-Flying-1515.png`, 0);
      write(`${base}/CAM_Instance_${split}.txt`, '');
    }
    for (const split of ['train', 'test']) {
      const dataset = await openDataset('cod10k', root, { split, strict: true });
      expect(ids(dataset)).toEqual(['COD10K-CAM-1-Aquatic-1-BatFish-1']);
      expect(dataset.notes).toEqual([
        '2 images without a camouflaged object left out: COD10K-NonCAM-2-Terrestrial-31-Gecko-1, ' +
          'COD10K-NonCAM-5-Background-5-Vegetation-4854',
      ]);
    }
  });

  test("CAMO's own package shares a folder of masks", async () => {
    const root = folder();
    const base = `${root}/CAMO-V.1.0-CVIU2019`;
    await drawPairs(`${base}/Images/Test`, `${base}/GT`, ['camourflage_00012']);
    await drawPairs(`${base}/Images/Train`, `${base}/GT`, ['camourflage_00001']);
    for (const place of [root, base]) {
      expect(ids(await openDataset('cod10k', place, { split: 'CAMO', strict: true }))).toEqual([
        'camourflage_00012',
      ]);
    }
  });

  test('the other sets as folders of their own', async () => {
    const root = folder();
    await drawPairs(`${root}/NC4K/Imgs`, `${root}/NC4K/GT`, ['1']);
    await drawPairs(`${root}/CHAMELEON/Image`, `${root}/CHAMELEON/GT`, ['animal-1']);
    expect(ids(await openDataset('cod10k', root, { split: 'nc4k' }))).toEqual(['1']);
    expect(ids(await openDataset('cod10k', root, { split: 'chameleon' }))).toEqual(['animal-1']);
  });
});

describe('a plain folder pair', () => {
  test('mixed extensions, folders inside, links, files that are no images', async () => {
    const root = folder();
    await drawImage(`${root}/images/a.JPG`);
    await drawMask(`${root}/masks/a.png`, 1);
    await drawImage(`${root}/images/b.webp`);
    await drawMask(`${root}/masks/b.tif`, 2);
    await drawImage(`${root}/images/deep/er/a.png`);
    await drawMask(`${root}/masks/deep/er/a.png`, 3);
    await drawImage(`${root}/elsewhere.png`);
    symlinkSync('../elsewhere.png', `${root}/images/linked.png`);
    await drawMask(`${root}/masks/linked.png`, 4);
    // Disks spell é in two ways.
    await drawImage(`${root}/images/caf\u00e9.png`);
    await drawMask(`${root}/masks/cafe\u0301.png`, 5);
    write(`${root}/images/readme.txt`, '');
    write(`${root}/masks/Thumbs.db`, '');
    write(`${root}/images/.DS_Store`, '');
    write(`${root}/images/._a.JPG`, '');
    const dataset = await openDataset('folder', root, { strict: true });
    expect(dataset.name).toBe(path.basename(root));
    expect(ids(dataset)).toEqual(['a', 'b', 'caf\u00e9', 'deep/er/a', 'linked']);
    expect(await areas(dataset)).toEqual([6, 12, 30, 18, 24]);
    expect(dataset.notes).toEqual(['2 files that are no images left out: readme.txt, Thumbs.db']);
  });

  test('splits are folders that hold a pair', async () => {
    const root = folder();
    await drawPairs(`${root}/train/images`, `${root}/train/masks`, ['a', 'b']);
    expect(ids(await openDataset('folder', root))).toEqual(['a', 'b']);
    await drawPairs(`${root}/val/images`, `${root}/val/masks`, ['c']);
    expect(ids(await openDataset('folder', root, { split: 'val' }))).toEqual(['c']);
    await expectSamError(openDataset('folder', root), 'ERR_DATASET', 'Expected one of train, val for split');
    await expectSamError(
      openDataset('folder', root, { split: 'test' }),
      'ERR_INVALID_ARGUMENT',
      'Expected one of train, val for split but received "test"',
    );
    await expectSamError(
      openDataset('folder', `${root}/val`, { split: '../train' }),
      'ERR_INVALID_ARGUMENT',
      'Expected no split',
    );
    await expectSamError(
      openDataset('folder', folder()),
      'ERR_DATASET',
      'Expected the folders images and masks',
    );
  });

  test('what macOS adds to an archive is neither a split nor a folder of images', async () => {
    const root = folder();
    for (const place of ['set', '__MACOSX', '__MACOSX/set']) {
      await drawPairs(`${root}/${place}/images`, `${root}/${place}/masks`, ['a']);
    }
    write(`${root}/set/images/__MACOSX/b.jpg`, 'Mac OS X');
    const dataset = await openDataset('folder', root, { strict: true });
    expect(dataset.samples.map(({ image }) => image)).toEqual([`${root}/set/images/a.jpg`]);
  });

  test('folders without end', async () => {
    const root = folder();
    mkdirSync(`${root}/masks`);
    mkdirSync(`${root}/images/${'d/'.repeat(20)}`, { recursive: true });
    await expectSamError(openDataset('folder', root), 'ERR_DATASET', 'at most 16 folders inside each other');
    rmSync(`${root}/images`, { recursive: true });
    await drawPairs(`${root}/images`, `${root}/masks`, ['a']);
    symlinkSync('.', `${root}/images/again`);
    expect(ids(await openDataset('folder', root))).toEqual(['a']);
  });
});

describe('what cannot be used', () => {
  async function draw(): Promise<string> {
    const root = folder();
    await drawPairs(`${root}/images`, `${root}/masks`, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'good']);
    rmSync(`${root}/masks/a.png`);
    rmSync(`${root}/images/b.jpg`);
    await drawMask(`${root}/masks/c.png`, 1, { width: 6, height: 8 });
    truncateSync(`${root}/images/d.jpg`, 0);
    write(`${root}/masks/e.png`, 'not a picture');
    await drawMask(`${root}/masks/f.tif`, 1);
    await drawImage(`${root}/images/g.png`);
    renameSync(`${root}/images/h.jpg`, `${root}/images/h.bmp`);
    write(`${root}/images/h.bmp`, 'BM\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00');
    return root;
  }
  const reasons = (root: string) => [
    `a: its mask is missing: expected a.* in ${root}/masks`,
    `f: its mask is there twice: ${root}/masks/f.png and ${root}/masks/f.tif`,
    `g: its image is there twice: ${root}/images/g.jpg and ${root}/images/g.png`,
    `b: the image of ${root}/masks/b.png is missing in ${root}/images`,
    `c: the image has 8 × 6 px but its mask 6 × 8 px (${root}/masks/c.png)`,
    `d: Cannot decode ${root}/images/d.jpg: it is empty`,
    `e: Cannot decode ${root}/masks/e.png: expected JPEG, PNG, WebP, TIFF, AVIF or GIF, but it starts with "not a picture"`,
    `h: Cannot decode ${root}/images/h.bmp: expected JPEG, PNG, WebP, TIFF, AVIF or GIF, but it starts with the bytes 42 4d`,
  ];

  test('is named, with the reason, and the rest goes on', async () => {
    const root = await draw();
    const dataset = await openDataset('folder', root);
    expect(ids(dataset)).toEqual(['good']);
    expect(problems(dataset).map((line, i) => line.slice(0, reasons(root)[i]!.length))).toEqual(
      reasons(root),
    );
  });

  test('is an error that lists everything, with strict', async () => {
    const root = await draw();
    await expectSamError(
      openDataset('folder', root, { strict: true }),
      'ERR_DATASET',
      `in ${root}: 8 of 9 cannot be used:`,
      ...reasons(root),
    );
  });

  test('everything: an error without strict, too', async () => {
    const root = folder();
    mkdirSync(`${root}/images`);
    mkdirSync(`${root}/masks`);
    await expectSamError(openDataset('folder', root), 'ERR_DATASET', 'expected images but found none');
    await drawImage(`${root}/images/a.png`);
    await expectSamError(openDataset('folder', root), 'ERR_DATASET', 'none of 1 can be used: a: its mask');
  });

  test('damage behind the header shows when the mask is read, and so does a change of size', async () => {
    const root = folder();
    await drawPairs(`${root}/images`, `${root}/masks`, ['a', 'b']);
    const large = { width: 200, height: 200 };
    await drawImage(`${root}/images/a.jpg`, large);
    await drawMask(`${root}/masks/a.png`, 77, large);
    truncateSync(`${root}/masks/a.png`, 100);
    const dataset = await openDataset('folder', root);
    await expectSamError(dataset.samples[0]!.mask!(), 'ERR_IMAGE', `Cannot decode ${root}/masks/a.png`);
    await drawMask(`${root}/masks/b.png`, 1, { width: 3, height: 3 });
    await expectSamError(
      dataset.samples[1]!.mask!(),
      'ERR_IMAGE',
      'had 8 × 6 px when the dataset was opened but now',
    );
  });
});

test('arguments', async () => {
  const root = folder();
  await expectSamError(
    openDataset('sod' as never, root),
    'ERR_INVALID_ARGUMENT',
    'Expected one of dis5k, duts, isic2016, cod10k, coco, folder for the dataset\'s name but received "sod"',
  );
  await expectSamError(openDataset('duts', ''), 'ERR_INVALID_ARGUMENT', 'path of a folder for root');
  await expectSamError(openDataset('duts', 7 as never), 'ERR_INVALID_ARGUMENT', 'path of a folder for root');
  await expectSamError(openDataset('duts', 'a\0b'), 'ERR_INVALID_ARGUMENT', 'path of a folder for root');
  await expectSamError(
    openDataset('duts', `${root}/no`),
    'ERR_IO',
    `Cannot read the folder ${root}/no: no such file`,
  );
  write(`${root}/file`, '');
  await expectSamError(openDataset('duts', `${root}/file`), 'ERR_IO', 'is not a directory');
  await expectSamError(openDataset('duts', root, { split: '' }), 'ERR_INVALID_ARGUMENT', 'options.split');
  await expectSamError(
    openDataset('duts', root, { strict: 1 } as never),
    'ERR_INVALID_ARGUMENT',
    'options.strict',
  );
  await expectSamError(openDataset('duts', root, { limit: 1 } as never), 'ERR_INVALID_ARGUMENT', 'limit');
});
