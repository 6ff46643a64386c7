// Checks that C++ and CUDA files are formatted as .clang-format says; --write formats them. clang-format comes from npm
// (version 15): one version for everybody.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { root } from './native-sources.mjs';

const FOLDERS = [
  ...['native', 'test/native', 'test/cuda', 'test/fuzz'],
  ...['tools/cuda-emulation', 'bench/native', 'bench/cuda'],
];
const files = FOLDERS.map((folder) => path.join(root, folder))
  .filter((folder) => existsSync(folder))
  .flatMap((folder) =>
    readdirSync(folder, { recursive: true })
      .filter((name) => /\.(h|cpp|cu|cuh)$/.test(name))
      .map((name) => path.relative(root, path.join(folder, name))),
  );

const write = process.argv.includes('--write');
const args = write ? ['-i', ...files] : ['--dry-run', '--Werror', ...files];
const result = spawnSync(process.execPath, ['node_modules/clang-format/index.js', ...args], {
  cwd: root,
  encoding: 'utf8',
});
if (result.status !== 0) {
  const bad = new Set((result.stderr ?? '').match(/^[^\s:]+(?=:\d+:\d+: error)/gm));
  for (const file of bad) console.error(`${file}: not formatted`);
  console.error(bad.size > 0 ? 'Format them with: npm run format' : result.stderr || result.error);
  process.exit(1);
}
console.log(`${files.length} native files ${write ? 'formatted' : 'checked'}`);
