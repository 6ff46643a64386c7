// Writes dist/index.mjs and dist/index.d.mts after tsc: an ESM entry that re-exports the CommonJS build name by name, so
// that `import` and `require` in one process share the same classes. Makes the command line's file executable.
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { root } from './native-sources.mjs';

const dist = path.join(root, 'dist');
const names = Object.keys(createRequire(import.meta.url)(path.join(dist, 'index.js'))).sort();
if (names.length === 0) throw new Error('dist/index.js exports nothing');

const lines = names.map((name) => `export const ${name} = library.${name};`);
writeFileSync(
  path.join(dist, 'index.mjs'),
  `// Written by scripts/write-esm-entry.mjs.\nimport library from './index.js';\n\n${lines.join('\n')}\n`,
);
writeFileSync(path.join(dist, 'index.d.mts'), "export * from './index.js';\n");

const cli = path.join(dist, 'cli', 'main.js');
if (existsSync(cli)) chmodSync(cli, 0o755);
