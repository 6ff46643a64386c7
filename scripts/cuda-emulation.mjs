// Builds CUDA sources for the host emulation (test/cuda/emulation) with an ordinary C++ compiler.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile, link } from './native-compile.mjs';
import { root } from './native-sources.mjs';

const FOLDER = 'test/cuda/emulation';

/**
 * Flags to compile CUDA sources and everything that includes them. Multiply-adds are made where the source asks for
 * them and nowhere else, or results would depend on the compiler.
 */
export const EMULATION_FLAGS = [
  ...['-x', 'c++'], // .cu files are C++ here
  '-DBA_SAM_CUDA_EMULATION',
  `-I${FOLDER}`,
  '-ffp-contract=off',
  '-Wno-unknown-pragmas', // #pragma unroll
];

/** What programs and addons that use the emulation are linked with. */
export const EMULATION_LINK_FLAGS = ['-pthread', '-ldl'];

/** The emulated runtime: to be compiled with EMULATION_FLAGS and linked with what uses it. */
export function emulationSources() {
  return readdirSync(path.join(root, FOLDER))
    .filter((name) => name.endsWith('.cpp') && !name.endsWith('_test.cpp'))
    .sort()
    .map((name) => `${FOLDER}/${name}`);
}

/**
 * Builds the emulated cuBLASLt, which a backend opens when BA_SAM_CUBLASLT names it.
 * @param {{ folder: string, cxx?: string, flags?: string[] }} options folder: for objects and the library
 * @returns {Promise<string>} absolute path of the library
 */
export async function buildFakeCublasLt({ folder, cxx = process.env.CXX ?? 'g++', flags = ['-O2'] }) {
  const sources = readdirSync(path.join(root, FOLDER, 'cublaslt'))
    .filter((name) => name.endsWith('.cpp'))
    .sort()
    .map((name) => `${FOLDER}/cublaslt/${name}`);
  const own = ['-std=c++17', '-Wall', '-Wextra', '-fPIC', '-fvisibility=hidden', `-I${FOLDER}`];
  const objects = await compile({
    sources,
    folder: path.resolve(root, folder, 'cublaslt'),
    cxx,
    flags: [...own, ...flags],
  });
  const library = path.resolve(root, folder, 'libemulated_cublasLt.so');
  await link({ objects, program: library, cxx, flags: ['-shared', '-pthread', ...flags] });
  return library;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(await buildFakeCublasLt({ folder: path.join(root, 'build/cuda-emulation') }));
}
