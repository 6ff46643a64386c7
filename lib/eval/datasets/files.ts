// Folders of images: what is in them, and which names from a list may be opened.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { SamError } from '../../errors';
import { isFolder } from '../../files/kind';
import { ioReason } from '../../files/reason';

// Formats that cannot be decoded are listed, too: such a file is named as a problem when its header is read.
const IMAGE_EXTENSIONS = new Set(
  ['jpg', 'jpeg', 'jpe', 'jfif', 'png', 'webp', 'tif', 'tiff', 'avif', 'gif']
    .concat(['bmp', 'heic', 'heif', 'jp2', 'jxl', 'pbm', 'pgm', 'ppm', 'tga'])
    .map((extension) => `.${extension}`),
);
const MAX_DEPTH = 16;

/** An image file in a folder. */
export interface ImageFile {
  /** Path below the folder without extension, with `/` between its parts. */
  readonly stem: string;
  readonly path: string;
}

/** What a folder holds. */
export interface Listing {
  /** By stem, then by path, in the order of code units: the same on every machine. */
  readonly images: readonly ImageFile[];
  /** Names of files that are no images by their extension. Hidden files do not count. */
  readonly others: readonly string[];
}

/**
 * Lists a folder's image files. Links to files count as files; links to folders are not followed.
 *
 * @param recursive folders in the folder, too, 16 deep at most
 * @throws SamError ERR_IO; ERR_DATASET when folders lie too deep
 */
export async function listImages(folder: string, recursive = false): Promise<Listing> {
  const images: ImageFile[] = [];
  const others: string[] = [];
  const visit = async (relative: string, depth: number): Promise<void> => {
    for (const entry of await readFolder(path.join(folder, relative))) {
      if (isHidden(entry.name)) continue;
      const name = relative === '' ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!recursive) continue;
        if (depth === MAX_DEPTH) {
          throw new SamError(
            'ERR_DATASET',
            `Expected at most ${MAX_DEPTH} folders inside each other in ${folder} but found ${name}`,
          );
        }
        await visit(name, depth + 1);
      } else if (IMAGE_EXTENSIONS.has(path.extname(entry.name).toLowerCase())) {
        images.push({ stem: withoutExtension(name), path: path.join(folder, name) });
      } else others.push(name);
    }
  };
  await visit('', 0);
  images.sort((a, b) => compare(a.stem, b.stem) || compare(a.path, b.path));
  return { images, others: others.sort(compare) };
}

/** Names of the folders in a folder, links to folders included, sorted. */
export async function listFolders(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readFolder(folder)) {
    if (isHidden(entry.name)) continue;
    if (entry.isDirectory() || (entry.isSymbolicLink() && (await isFolder(path.join(folder, entry.name))))) {
      names.push(entry.name);
    }
  }
  return names.sort(compare);
}

// `__MACOSX` is what macOS adds to an archive: a copy of its folders, with files that are not what their names say.
function isHidden(name: string): boolean {
  return name.startsWith('.') || name === '__MACOSX';
}

/**
 * @throws SamError ERR_IO unless `folder` is a folder that can be listed
 */
export async function readFolder(folder: string): Promise<import('node:fs').Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (cause) {
    throw new SamError('ERR_IO', `Cannot read the folder ${folder}: ${ioReason(cause)}`, { cause });
  }
}

/** A file's name without its last extension; folders stay. */
export function withoutExtension(name: string): string {
  return name.slice(0, name.length - path.extname(name).length);
}

/** Whether a path from an untrusted list stays below the folder that it is relative to. Links on disk are trusted. */
export function staysInside(name: string): boolean {
  return (
    name !== '' &&
    name.length <= 4096 &&
    !name.includes('\0') &&
    !path.isAbsolute(name) &&
    !name.split(/[\\/]/).includes('..')
  );
}

/**
 * A path from a list as this system spells it: tools on Windows write backslashes.
 */
export function withSlashes(name: string): string {
  return name.replaceAll('\\', '/');
}

/** The order of code units, which no locale changes. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Files whose headers are read at a time: enough to keep libuv's threads busy on a slow disk. */
export const HEADERS_AT_A_TIME = 16;

/**
 * `Array.map` for promises, `limit` at a time.
 *
 * @returns results in the order of the items
 */
export async function mapBounded<T, R>(
  items: readonly T[],
  limit: number,
  map: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      results[index] = await map(items[index]!, index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work));
  return results;
}
