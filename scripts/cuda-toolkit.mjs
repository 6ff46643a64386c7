// Finds nvcc and says what it can compile for.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './native-sources.mjs';

/** Every GPU from sm_80 on runs machine code of one of these; newer ones compile the PTX of the last at their first use. */
export const ARCHITECTURES = [80, 86, 89, 90, 100, 120];
export const OLDEST_CUDA = [12, 4];

const MISSING =
  'ba-sam: nvcc was not found. Install the CUDA toolkit 12.4 or later (https://developer.nvidia.com/cuda-downloads), ' +
  'or set CUDA_HOME to where it is or CUDACXX to its nvcc.';

/** @returns {{ nvcc?: string, version?: string, architectures?: number[], reason?: string }} reason: why there is none */
export function findCudaToolkit(env = process.env) {
  const homes = [env.CUDA_HOME, env.CUDA_PATH].filter(Boolean);
  const named = env.CUDACXX ? [env.CUDACXX] : homes.map((home) => path.join(home, 'bin/nvcc'));
  for (const file of named) {
    if (file.includes('/') && !existsSync(file)) {
      return {
        reason: `ba-sam: ${env.CUDACXX ? 'CUDACXX' : 'CUDA_HOME'} names ${file}, which does not exist.`,
      };
    }
  }
  for (const nvcc of [...named, 'nvcc', '/usr/local/cuda/bin/nvcc']) {
    const [, version] = output(nvcc, ['--version']).match(/release (\d+\.\d+)/) ?? [];
    if (!version) continue;
    const [major, minor] = version.split('.').map(Number);
    if (major < OLDEST_CUDA[0] || (major === OLDEST_CUDA[0] && minor < OLDEST_CUDA[1])) {
      return {
        reason: `ba-sam: CUDA ${OLDEST_CUDA.join('.')} or later is needed but ${nvcc} is of ${version}.`,
      };
    }
    const known = [...output(nvcc, ['--list-gpu-code']).matchAll(/^sm_(\d+)$/gm)].map(([, code]) =>
      Number(code),
    );
    return { nvcc, version, architectures: ARCHITECTURES.filter((code) => known.includes(code)) };
  }
  return { reason: MISSING };
}

/**
 * "80,90" as numbers, all of them known to the toolkit; without a text all that it knows. Throws an Error in one line.
 *
 * @param {string | undefined} text
 * @returns {number[]}
 */
export function chosenArchitectures(text, toolkit) {
  if (text === undefined) return toolkit.architectures;
  const chosen = text.split(',').map(Number);
  const bad = chosen.filter((code) => !toolkit.architectures.includes(code));
  if (bad.length > 0) {
    throw new Error(
      `ba-sam: expected some of ${toolkit.architectures.join(',')} for --arch (CUDA ${toolkit.version}) but received ${text}`,
    );
  }
  return [...new Set(chosen)].sort((a, b) => a - b);
}

/** What every compilation of device code is told, CMake's too. */
export function nvccOptions() {
  return readFileSync(path.join(root, 'native/backends/cuda/nvcc.options'), 'utf8')
    .split('\n')
    .filter(Boolean);
}

function output(command, args) {
  const { stdout, status } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? stdout : '';
}
