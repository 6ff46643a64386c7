// Compares native/backends/cuda/cublaslt.h with real headers: node scripts/check-cublaslt.mjs [include folders…]
// Without arguments: BA_SAM_CUBLAS_INCLUDE (folders with ":" between), CUDA_HOME's and /usr/local/cuda's. Skipped where no
// cublasLt.h is found. CUDA's own headers come from the toolkit or lie beside it.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { root } from './native-sources.mjs';

const homes = [process.env.CUDA_HOME, process.env.CUDA_PATH, '/usr/local/cuda'].filter(Boolean);
const toolkits = homes.map((home) => path.join(home, 'include'));
const named = process.argv.slice(2);
const wanted = named.length > 0 ? named : (process.env.BA_SAM_CUBLAS_INCLUDE?.split(':') ?? []);
const folders = [...new Set(named.length > 0 ? wanted : [...wanted, ...toolkits])].filter((folder) =>
  existsSync(path.join(folder, 'cublasLt.h')),
);

let failed = 0;
for (const folder of folders) {
  const includes = [folder, ...toolkits].map((name) => `-I${name}`);
  const args = ['-std=c++17', '-fsyntax-only', ...includes, 'test/cuda/check_cublaslt.cpp'];
  const { status, stderr } = spawnSync(process.env.CXX ?? 'g++', args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) {
    failed++;
    console.error(`${folder}:\n${stderr}`);
  }
}
if (folders.length === 0) console.log('cublasLt.h: not there, skipped');
console.log(`${folders.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
