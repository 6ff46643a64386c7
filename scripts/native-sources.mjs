// Lists the native sources of the folders or lists given, relative to the repository, one a line. binding.gyp,
// CMakeLists.txt and the native tests all ask here, so that a new file is part of every build:
//   node scripts/native-sources.mjs core cpu      node scripts/native-sources.mjs CUDA_ADDON
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Folders of native/ that the backends consist of, without Node: what native tests and fuzzers link. */
export const CPU_LIBRARY = ['core', 'image', 'cpu', 'cpu/attention'];
export const CUDA_LIBRARY = ['core', 'cuda', 'cuda/attention'];
/** The addons. */
export const CPU_ADDON = [...CPU_LIBRARY, 'node', 'node/cpu'];
export const CUDA_ADDON = [...CUDA_LIBRARY, 'node', 'node/cuda'];

const LISTS = { CPU_LIBRARY, CUDA_LIBRARY, CPU_ADDON, CUDA_ADDON };

export function nativeSources(folders) {
  return folders.flatMap((folder) =>
    readdirSync(path.join(root, 'native', folder))
      .filter((name) => /\.(cpp|cu)$/.test(name))
      .sort()
      .map((name) => `native/${folder}/${name}`),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2);
  const folders = (names.length > 0 ? names : ['CPU_ADDON']).flatMap((name) => LISTS[name] ?? [name]);
  console.log(nativeSources(folders).join('\n'));
}
