// Builds the CPU addon with node-gyp: `npm run build:native`. Checks first what a compiler error would hide.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const run = (command, args) =>
  spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, JOBS: process.env.JOBS ?? 'max' } });

if (run(process.execPath, ['scripts/find-onednn.mjs', '--include']).status !== 0) process.exit(1);
const gyp = path.join(root, 'node_modules/node-gyp/bin/node-gyp.js');
const action = process.argv.includes('--clean') ? ['rebuild'] : ['configure', 'build'];
for (const step of action) {
  const result = run(process.execPath, [gyp, step, '--silent']);
  if (result.status !== 0) process.exit(result.status ?? 1);
}
