// Builds and runs test/cuda/*_test.cpp against the host emulation, which has tests of its own (cuda-emulation.mts):
//   npm run test:cuda -- [--asan] [name…]
// Objects are shared with `npm run build:cuda -- --emulated`. Each program prints "N passed, N failed"; the sums close the
// output. On a GPU the same programs are built by `npm run build:cuda -- --tests`.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { EMULATED_FLAGS } from './cuda-emulated-build.mts';
import { buildFakeCublasLt, EMULATION_LINK_FLAGS, emulationSources } from './cuda-emulation.mts';
import { compile, link } from './native-compile.mts';
import { nativeSources, root } from './native-sources.mjs';
import { type NativeCounts, type NativeLibrary, runTest, type Variant } from './native-tests.mts';

const cxx = process.env.CXX ?? 'g++';
const FOLDER = 'test/cuda';
const VARIANTS: Readonly<Record<Variant, { readonly folder: string; readonly flags: readonly string[] }>> = {
  plain: { folder: 'build-cuda-emulated/objects', flags: [] },
  asan: {
    folder: 'build-cuda-emulated/objects-asan',
    flags: ['-g1', '-fno-omit-frame-pointer', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
  },
};

/** Sources of all test programs, relative to the repository. */
export function cudaTests(): string[] {
  return readdirSync(path.join(root, FOLDER))
    .filter((name) => name.endsWith('_test.cpp'))
    .sort()
    .map((name) => `${FOLDER}/${name}`);
}

/** Objects of the backend and the emulation, and the path of an emulated cuBLASLt. */
export interface EmulatedLibrary extends NativeLibrary {
  readonly cublasLt: string;
}

export async function buildEmulatedLibrary(variant: Variant = 'plain'): Promise<EmulatedLibrary> {
  const { folder, flags } = VARIANTS[variant];
  const options = { folder: path.join(root, folder), cxx, flags: [...flags, ...EMULATED_FLAGS] };
  const sources = [...nativeSources('cuda-library', 'cases', 'image'), ...emulationSources()];
  const objects = await compile({ ...options, sources });
  const cublasLt = await buildFakeCublasLt('build-cuda-emulated');
  return { ...options, objects, linkFlags: flags, cublasLt };
}

/** Builds one program and runs it. @returns its counts; rejects when it fails or counts nothing */
export async function runCudaTest(library: EmulatedLibrary, source: string): Promise<NativeCounts> {
  const { folder, flags, objects, linkFlags, cublasLt } = library;
  const own = await compile({ folder, cxx, flags, sources: [source] });
  const program = path.join(folder, path.basename(source, '.cpp'));
  await link({ objects: [...own, ...objects], program, cxx, flags: [...linkFlags, ...EMULATION_LINK_FLAGS] });
  // Kernels for sm_90a say so in their names, and ask for such a device.
  const sm = /_sm90_test\.cpp$/.test(source) ? { BA_SAM_EMULATION_SM: '90' } : {};
  return runTest(program, { BA_SAM_CUBLASLT: cublasLt, ...sm });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2);
  const variant = args.includes('--asan') ? 'asan' : 'plain';
  const names = args.filter((arg) => !arg.startsWith('-'));
  const sums = { passed: 0, failed: 0 };
  try {
    const library = await buildEmulatedLibrary(variant);
    const wanted = (file: string) => names.length === 0 || names.includes(path.basename(file, '.cpp'));
    const queue = cudaTests().filter(wanted);
    if (queue.length === 0) throw new Error(`There is no test program ${names.join(', ')}`);
    const workers = [1, 2].map(async () => {
      for (let source = queue.shift(); source; source = queue.shift()) {
        const start = performance.now();
        try {
          const { passed } = await runCudaTest(library, source);
          sums.passed += passed;
          const seconds = ((performance.now() - start) / 1000).toFixed(1);
          console.log(`${source}: ${passed} passed, ${seconds} s with compiling`);
        } catch (error) {
          sums.failed++;
          console.error(error instanceof Error ? error.message : error);
        }
      }
    });
    await Promise.all(workers);
  } catch (error) {
    sums.failed++;
    console.error(error instanceof Error ? error.message : error);
  }
  // Read by scripts/count-tests.mjs.
  const results = path.join(root, 'build/test-results');
  if (!existsSync(results)) mkdirSync(results, { recursive: true });
  writeFileSync(path.join(results, `cuda-emulated-${variant}.json`), JSON.stringify({ all: sums }));
  console.log(`${sums.passed} passed, ${sums.failed} failed`);
  process.exitCode = sums.failed === 0 ? 0 : 1;
}
