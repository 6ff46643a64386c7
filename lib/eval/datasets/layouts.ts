// The folders of DIS5K, DUTS, ISIC 2016 and COD10K as people have them on disk. docs/datasets.md draws the trees.
import { readIsicList } from './isic-list';
import type { Layout, Part, Place } from './layout';

function disPart(name: string): Part {
  return { name, places: [{ images: `DIS-${name}/im`, masks: `DIS-${name}/gt` }] };
}

/** Highly accurate dichotomous segmentation (Qin et al., ECCV 2022). TE is TE1 to TE4 together. */
export const DIS5K: Layout = {
  title: 'DIS5K',
  defaultSplit: 'TE',
  splits: {
    TR: [disPart('TR')],
    VD: [disPart('VD')],
    TE1: [disPart('TE1')],
    TE2: [disPart('TE2')],
    TE3: [disPart('TE3')],
    TE4: [disPart('TE4')],
    TE: ['TE1', 'TE2', 'TE3', 'TE4'].map(disPart),
  },
  rules: {},
};

function dutsPart(name: string): Part {
  const folder = `DUTS-${name}`;
  return { name, places: [{ images: `${folder}/${folder}-Image`, masks: `${folder}/${folder}-Mask` }] };
}

/** Saliency (Wang et al., CVPR 2017). */
export const DUTS: Layout = {
  title: 'DUTS',
  defaultSplit: 'TE',
  splits: { TR: [dutsPart('TR')], TE: [dutsPart('TE')] },
  rules: {},
};

function isicPart(name: string, word: string): Part {
  const prefix = `ISBI2016_ISIC_Part1_${word}`;
  return { name, places: [{ images: `${prefix}_Data`, masks: `${prefix}_GroundTruth` }] };
}

/** Skin lesions, the challenge of ISBI 2016, part 1 (Gutman et al., 2016). */
export const ISIC2016: Layout = {
  title: 'ISIC 2016',
  defaultSplit: 'test',
  splits: { train: [isicPart('train', 'Training')], test: [isicPart('test', 'Test')] },
  rules: { maskSuffix: '_Segmentation' },
  readList: readIsicList,
};

// `Imgs` and `GT` in the packages that come with SINet and its successors, `Image` and `GT_Object` in COD10K's own.
function camouflagePlaces(...folders: readonly string[]): Place[] {
  return folders.flatMap((folder) =>
    ['Imgs', 'Image'].flatMap((images) =>
      ['GT', 'GT_Object'].map((masks) => ({ images: `${folder}/${images}`, masks: `${folder}/${masks}` })),
    ),
  );
}

// CAMO's own package keeps the ground truth of both splits in one folder.
const CAMO_TEST: readonly Place[] = ['CAMO-V.1.0-CVIU2019/', ''].map((folder) => ({
  images: `${folder}Images/Test`,
  masks: `${folder}GT`,
  sharedMasks: true,
}));

/**
 * Camouflaged objects (Fan et al., CVPR 2020), with the test sets that are evaluated beside it.
 *
 * COD10K's own package also holds images without a camouflaged object (`COD10K-NonCAM-…`, 2960 for training, 1974 for
 * testing), whose masks are empty or missing. The field trains and tests on the `CAM` images alone (3040 and 2026), and
 * so does this reader; the others are counted in the dataset's notes.
 */
export const COD10K: Layout = {
  title: 'COD10K',
  defaultSplit: 'test',
  splits: {
    train: [{ name: 'train', places: camouflagePlaces('TrainDataset', 'TrainDataset/COD10K', 'Train') }],
    test: [{ name: 'test', places: camouflagePlaces('TestDataset/COD10K', 'Test', 'COD10K') }],
    CAMO: [{ name: 'CAMO', places: [...camouflagePlaces('TestDataset/CAMO', 'CAMO'), ...CAMO_TEST] }],
    CHAMELEON: [{ name: 'CHAMELEON', places: camouflagePlaces('TestDataset/CHAMELEON', 'CHAMELEON') }],
    NC4K: [{ name: 'NC4K', places: camouflagePlaces('TestDataset/NC4K', 'NC4K') }],
  },
  rules: { excluded: { pattern: /^COD10K-NonCAM-/, what: 'images without a camouflaged object' } },
};
