// Lists the native sources of the folders or lists given, relative to the repository, one a line. binding.gyp,
// CMakeLists.txt and the native tests all ask here, so that a new file is part of every build:
//   node scripts/native-sources.mjs core cpu      node scripts/native-sources.mjs CUDA_ADDON
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/**
 * What of native/ the backends consist of, without Node. Folders, or with a star the
 * same file or folder of every op: an op's sources are found by their names.
 */
export const CPU_LIBRARY = [
  'core',
  'image',
  'backends/cpu',
  'ops',
  'ops/*/rule.cpp',
  'ops/*/cpu.cpp',
  'ops/*/cpu',
];
export const CUDA_LIBRARY = ['core', 'backends/cuda', 'ops', 'ops/*/rule.cpp', 'ops/*/cuda.cu', 'ops/*/cuda'];
/** What native tests and fuzzers link besides a backend: loops, graphs and broken graphs of every op. */
export const TEST_LIBRARY = ['ops/*/cases.cpp'];
/** The addons. */
export const CPU_ADDON = [...CPU_LIBRARY, 'node', 'node/cpu'];
export const CUDA_ADDON = [...CUDA_LIBRARY, 'node', 'node/cuda'];

const LISTS = { CPU_LIBRARY, CUDA_LIBRARY, TEST_LIBRARY, CPU_ADDON, CUDA_ADDON };

/** The sources of folders and patterns, relative to the repository. */
export function nativeSources(places) {
  return places.flatMap(expanded).flatMap((place) => {
    const file = `native/${place}`;
    if (isSource(place)) return existsSync(path.join(root, file)) ? [file] : [];
    if (!existsSync(path.join(root, file))) return [];
    const names = readdirSync(path.join(root, file)).filter(isSource).sort();
    return names.map((name) => `${file}/${name}`);
  });
}

const isSource = (name) => /\.(cpp|cu)$/.test(name);

/** A pattern for every folder that its star stands for. */
function expanded(place) {
  const [before, after] = place.split('*');
  if (after === undefined) return [place];
  const names = readdirSync(path.join(root, 'native', before)).sort();
  return names.map((name) => before + name + after);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2);
  const folders = (names.length > 0 ? names : ['CPU_ADDON']).flatMap((name) => LISTS[name] ?? [name]);
  console.log(nativeSources(folders).join('\n'));
}
