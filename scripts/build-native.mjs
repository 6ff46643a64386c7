// Builds the CPU addon: `npm run build:native` with node-gyp, `--cmake` with cmake-js. Checks first what a compiler error
// would hide, and says what is missing in one line. build-cuda.mts and prebuild.mjs use its parts.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { findOneDnn } from './find-onednn.mjs';
import { root } from './native-sources.mjs';

/** Node's own headers when they lie beside the executable: a build then needs no network. */
export function localHeaders() {
  const prefix = path.dirname(path.dirname(process.execPath));
  return existsSync(path.join(prefix, 'include/node/common.gypi')) ? prefix : undefined;
}

/**
 * Ends the process with one line.
 *
 * @param {unknown} reason the line, or an error that has it
 * @returns {never}
 */
export function fail(reason) {
  console.error(reason instanceof Error ? reason.message : reason);
  process.exit(1);
}

/** Ends the process with one line when none of the programs is installed. */
export function requireTool(names, packages) {
  const found = names.some((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
  if (!found)
    fail(
      `ba-sam: ${names.join(' or ')} was not found. Install it (Debian, Ubuntu: sudo apt-get install ${packages}).`,
    );
}

/** Runs CMake through cmake-js, which knows where Node-API's headers are. Ends the process when something is missing or fails. */
export function buildWithCMake(out, definitions = {}) {
  requireTool(['cmake'], 'cmake');
  requireTool(['make'], 'make');
  const options = Object.entries(definitions).map(([name, value]) => `--CD${name}=${value}`);
  runModule(path.join(root, 'node_modules/cmake-js/bin/cmake-js'), [
    'build',
    '--out',
    out,
    '--log-level',
    'warn',
    ...options,
  ]);
}

function buildWithNodeGyp() {
  requireTool(['make'], 'make');
  requireTool([process.env.PYTHON ?? 'python3'], 'python3');
  const headers = localHeaders();
  const options = headers && !process.env.npm_config_nodedir ? [`--nodedir=${headers}`] : [];
  const steps = process.argv.includes('--clean') ? ['rebuild'] : ['configure', 'build'];
  for (const step of steps) runModule(nodeGyp(), [step, '--silent', ...options]);
}

/** Where the package was installed by npm there is no node-gyp but npm's own, which it tells its scripts. */
function nodeGyp() {
  const own = path.join(root, 'node_modules/node-gyp/bin/node-gyp.js');
  const npms = process.env.npm_config_node_gyp;
  return !existsSync(own) && npms && existsSync(npms) ? npms : own;
}

function runModule(script, args) {
  if (!existsSync(script)) {
    const [, name] = script.match(/.*node_modules\/([^/]+)/);
    // Dependencies for development are in the repository's lock file, which is not packed.
    const remedy = existsSync(path.join(root, 'package-lock.json'))
      ? 'Install it: npm ci'
      : 'Build with npm, which brings what is needed: npm run build:native';
    fail(`ba-sam: ${name} was not found. ${remedy}`);
  }
  const jobs = String(os.availableParallelism());
  const result = spawnSync(process.execPath, [script, ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { JOBS: jobs, CMAKE_BUILD_PARALLEL_LEVEL: jobs, ...process.env },
  });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    findOneDnn();
  } catch (error) {
    fail(error);
  }
  requireTool([process.env.CXX ?? 'g++'], 'g++');
  if (process.argv.includes('--cmake')) buildWithCMake('build-cmake');
  else buildWithNodeGyp();
}
