// Writes index.mjs and index.d.mts beside dist/index.js and dist/eval/index.js after tsc: ESM entries that re-export the
// CommonJS build name by name, so that `import` and `require` in one process share the same classes. Makes the command
// line's file executable.
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { root } from './native-sources.mjs';

const dist = path.join(root, 'dist');
const require = createRequire(import.meta.url);
for (const folder of [dist, path.join(dist, 'eval')]) {
  const names = Object.keys(require(path.join(folder, 'index.js'))).sort();
  if (names.length === 0) throw new Error(`${folder}/index.js exports nothing`);
  const lines = names.map((name) => `export const ${name} = library.${name};`);
  writeFileSync(
    path.join(folder, 'index.mjs'),
    `// Written by scripts/write-esm-entry.mjs.\nimport library from './index.js';\n\n${lines.join('\n')}\n`,
  );
  writeFileSync(path.join(folder, 'index.d.mts'), "export * from './index.js';\n");
}

const cli = path.join(dist, 'cli', 'main.js');
if (existsSync(cli)) chmodSync(cli, 0o755);
