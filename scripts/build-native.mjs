// Builds the CPU addon: `npm run build:native` with node-gyp, `--cmake` with cmake-js. Checks first what a compiler error
// would hide, and says what is missing in one line.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { findOneDnn } from './find-onednn.mjs';
import { root } from './native-sources.mjs';

const useCMake = process.argv.includes('--cmake');

/** Node's own headers when they lie beside the executable: a build then needs no network. */
export function localHeaders() {
  const prefix = path.dirname(path.dirname(process.execPath));
  return existsSync(path.join(prefix, 'include/node/common.gypi')) ? prefix : undefined;
}

function requireTool(names, packages) {
  const found = names.some((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
  if (!found)
    fail(`ba-sam: ${names.join(' or ')} was not found. Install it: sudo apt-get install ${packages}`);
}

function fail(line) {
  console.error(line);
  process.exit(1);
}

function run(args, env = {}) {
  const jobs = String(os.availableParallelism());
  const result = spawnSync(process.execPath, args, {
    cwd: root,
    stdio: 'inherit',
    env: { JOBS: jobs, CMAKE_BUILD_PARALLEL_LEVEL: jobs, ...process.env, ...env },
  });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    findOneDnn();
  } catch (error) {
    fail(error.message);
  }
  requireTool([process.env.CXX ?? 'g++'], 'g++');
  requireTool(['make'], 'make');
  if (useCMake) {
    requireTool(['cmake'], 'cmake');
    run(['node_modules/cmake-js/bin/cmake-js', 'build', '--out', 'build-cmake', '--log-level', 'warn']);
  } else {
    requireTool([process.env.PYTHON ?? 'python3'], 'python3');
    const headers = localHeaders();
    const options = headers && !process.env.npm_config_nodedir ? [`--nodedir=${headers}`] : [];
    const steps = process.argv.includes('--clean') ? ['rebuild'] : ['configure', 'build'];
    for (const step of steps) run(['node_modules/node-gyp/bin/node-gyp.js', step, '--silent', ...options]);
  }
}
