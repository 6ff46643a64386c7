// The native sources and what their builds share (native/build.options). binding.gyp asks for both, one value a line; native
// tests, fuzzers and the emulated CUDA build import them. CMakeLists.txt reads the same file by itself.
//   node scripts/native-sources.mjs PART…                sources, relative to the repository
//   node scripts/native-sources.mjs --option NAME…       values of lines that are no sources
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

const FILE = 'native/build.options';
const lines = readFileSync(path.join(root, FILE), 'utf8').split('\n');
const OPTIONS = new Map(
  lines
    .filter((line) => /^[a-z-]+:/.test(line))
    .map((line) => line.split(':', 2))
    .map(([name, values]) => [name, values.trim().split(/ +/)]),
);

/** Values of a line. Throws an Error when there is no such line. */
export function buildOption(name) {
  const values = OPTIONS.get(name);
  if (!values) throw new Error(`Expected a line of ${FILE} but received ${name}`);
  return values;
}

/** Sources of the parts named, relative to the repository, every file once. Throws an Error when there is no such part. */
export function nativeSources(...parts) {
  const files = readdirSync(path.join(root, 'native'), { recursive: true }).sort();
  const expand = (value) => {
    if (!value.includes('/')) return buildOption(value).flatMap(expand);
    const pattern = new RegExp(`^${value.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`);
    return files.filter((file) => pattern.test(file)).map((file) => `native/${file}`);
  };
  return [...new Set(parts.flatMap(expand))];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2);
  const values = names[0] === '--option' ? names.slice(1).flatMap(buildOption) : nativeSources(...names);
  console.log(values.join('\n'));
}
