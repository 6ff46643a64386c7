// Lists the C++ sources of the folders given (relative to the repository), one a line. binding.gyp, CMakeLists.txt and
// the native tests all ask here, so that a new file is part of every build: node scripts/native-sources.mjs core cpu
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Folders of native/ that the CPU addon consists of. */
export const CPU_ADDON = ['core', 'image', 'cpu', 'cpu/attention', 'node'];
/** The same without Node: what native tests and fuzzers link. */
export const CPU_LIBRARY = CPU_ADDON.filter((folder) => folder !== 'node');

export function nativeSources(folders) {
  return folders.flatMap((folder) =>
    readdirSync(path.join(root, 'native', folder))
      .filter((name) => name.endsWith('.cpp'))
      .sort()
      .map((name) => `native/${folder}/${name}`),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folders = process.argv.slice(2);
  console.log(nativeSources(folders.length > 0 ? folders : CPU_ADDON).join('\n'));
}
