// The csv that BA-SAM's released code reads for ISIC 2016: a header line, then number, image, mask.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, SamError } from '../../errors';
import { isFile, readError, readTextFile } from '../../files/kind';
import type { Problem } from '../types';
import { listImages, staysInside, withoutExtension, withSlashes } from './files';
import { leftOut } from './finish';
import type { Place } from './layout';
import type { Pair, PairList } from './pairs';

// The released lists have below 100 kB.
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Reads `<base>/ISBI2016_ISIC_Part1_{Training,Test}_GroundTruth.csv`, when it is there. Its pairs are then the dataset,
 * in its order: `,img,seg` above lines such as `0,…_Data/ISIC_0000003.jpg,…_GroundTruth/ISIC_0000003_Segmentation.png`.
 *
 * @returns undefined when there is no such file
 * @throws SamError ERR_IO, ERR_DATASET
 */
export async function readIsicList(base: string, place: Place): Promise<PairList | undefined> {
  const file = path.join(base, `${place.masks}.csv`);
  if (!(await isFile(file))) return undefined;
  const lines = (await readText(file)).replace(/^\ufeff/, '').split(/\r?\n/);
  const pairs: Pair[] = [];
  const problems: Problem[] = [];
  const seen = new Set<string>();
  for (const [index, line] of lines.entries()) {
    if (index === 0 || line.trim() === '') continue;
    const [image, mask] = line
      .split(',')
      .slice(1)
      .map((field) => withSlashes(field.trim().replace(/^"(.*)"$/, '$1')));
    const name = `line ${index + 1} of ${path.basename(file)}`;
    const bad = [image, mask].find((field) => field === undefined || !staysInside(field));
    if (image === undefined || mask === undefined || bad !== undefined) {
      problems.push({ id: name, reason: `expected number, image, mask below ${base}: ${describe(line)}` });
      continue;
    }
    const id = withoutExtension(path.basename(image));
    if (seen.has(id)) problems.push({ id, reason: `${name} repeats it` });
    else pairs.push({ id, image: path.join(base, image), mask: path.join(base, mask) });
    seen.add(id);
  }

  const { images } = await listImages(path.join(base, place.images));
  const unlisted = images.filter(({ stem }) => !seen.has(stem)).map(({ stem }) => stem);
  const what = `images that ${path.basename(file)} does not list`;
  return { pairs, problems, notes: unlisted.length > 0 ? [leftOut(what, unlisted)] : [] };
}

async function readText(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > MAX_BYTES) {
      throw new SamError('ERR_DATASET', `Expected at most ${MAX_BYTES} bytes in ${file} but found ${size}`);
    }
    return await readTextFile(file);
  } catch (cause) {
    if (cause instanceof SamError) throw cause;
    throw readError(file, cause);
  }
}
