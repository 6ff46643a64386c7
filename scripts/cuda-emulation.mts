// Builds CUDA sources for the host emulation (tools/cuda-emulation) with an ordinary C++ compiler.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile, link, run } from './native-compile.mts';
import { buildOption, root } from './native-sources.mjs';
import { SANITIZER_ENV, VARIANTS, type Variant } from './native-tests.mts';

const FOLDER = 'tools/cuda-emulation';
const TESTS = `${FOLDER}/test`;

/** With these fmaf() is an instruction instead of a call: half of the time of some kernels. The results are the same. */
function multiplyAddFlags(): string[] {
  const cpu = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  return /^flags.*\bfma\b/m.test(cpu) && /^flags.*\bavx2\b/m.test(cpu) ? ['-mavx2', '-mfma'] : [];
}

/**
 * Flags to compile CUDA sources and everything that includes them. Multiply-adds are made where the source asks for
 * them and nowhere else, or results would depend on the compiler.
 */
export const EMULATION_FLAGS = [
  ...['-x', 'c++'], // .cu files are C++ here
  '-DBA_SAM_CUDA_EMULATION',
  `-I${FOLDER}`,
  '-ffp-contract=off',
  ...multiplyAddFlags(),
  '-fsanitize=alignment', // tools/cuda-emulation/alignment.cpp; needs no library
  '-Wno-unknown-pragmas', // #pragma unroll
];

/** What programs and addons that use the emulation are linked with. */
export const EMULATION_LINK_FLAGS = ['-pthread', '-ldl'];

/** The emulated runtime: to be compiled with EMULATION_FLAGS and linked with what uses it. */
export function emulationSources(): string[] {
  return readdirSync(path.join(root, FOLDER))
    .filter((name) => name.endsWith('.cpp'))
    .sort()
    .map((name) => `${FOLDER}/${name}`);
}

/**
 * Builds the emulated cuBLASLt, which a backend opens when BA_SAM_CUBLASLT names it.
 * @param folder for objects and the library
 * @returns absolute path of the library
 */
export async function buildFakeCublasLt(folder: string, flags: readonly string[] = ['-O2']): Promise<string> {
  const cxx = process.env.CXX ?? 'g++';
  const sources = readdirSync(path.join(root, FOLDER, 'cublaslt'))
    .filter((name) => name.endsWith('.cpp'))
    .sort()
    .map((name) => `${FOLDER}/cublaslt/${name}`);
  const own = [...buildOption('compile'), '-fPIC', '-fvisibility=hidden', `-I${FOLDER}`];
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

/** Of the emulation itself; tests of the backend that run in it are elsewhere. */
export function emulationTestNames(): string[] {
  return readdirSync(path.join(root, TESTS))
    .filter((name) => name.endsWith('_test.cpp'))
    .map((name) => name.slice(0, -'.cpp'.length))
    .sort();
}

/** @returns its counts; rejects when it fails or counts nothing */
export async function runEmulationTest(
  name: string,
  variant: Variant = 'plain',
): Promise<{ passed: number; failed: number }> {
  const cxx = process.env.CXX ?? 'g++';
  const { compile: variantFlags, link: variantLinkFlags } = VARIANTS[variant];
  const folder = path.join(root, 'build/cuda-emulation', variant);
  const sources = [...emulationSources(), `${TESTS}/${name}.cpp`];
  if (name === 'cublaslt_test') sources.push('native/backends/cuda/cublaslt.cpp'); // its users' side
  const flags = [...buildOption('compile'), ...EMULATION_FLAGS, ...variantFlags];
  const objects = await compile({ sources, folder, cxx, flags });
  const program = path.join(folder, name);
  // -rdynamic: messages can name kernels.
  const linkFlags = [...EMULATION_LINK_FLAGS, '-rdynamic', ...variantLinkFlags];
  await link({ objects, program, cxx, flags: linkFlags });
  const library = await buildFakeCublasLt(folder, variantFlags);
  const env: NodeJS.ProcessEnv = { ...process.env, ...SANITIZER_ENV, BA_SAM_CUBLASLT: library };
  for (const setting of Object.keys(env)) {
    if (setting.startsWith('BA_SAM_EMULATION_')) delete env[setting];
  }
  const output = await run(program, [], { env });
  const [, passed, failed] = output.match(/^(\d+) passed, (\d+) failed$/m) ?? [];
  if (!(Number(passed) > 0)) throw new Error(`${program} counted no passed test:\n${output}`);
  return { passed: Number(passed), failed: Number(failed) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[2] === 'test') {
    const variant = process.argv.includes('--asan') ? 'asan' : 'plain';
    const sums = { passed: 0, failed: 0 };
    for (const name of emulationTestNames()) {
      try {
        const { passed, failed } = await runEmulationTest(name, variant);
        console.log(`${name}: ${passed} passed, ${failed} failed`);
        sums.passed += passed;
        sums.failed += failed;
      } catch (error) {
        console.error(error instanceof Error ? error.message : error);
        sums.failed++;
      }
    }
    console.log(`${sums.passed} passed, ${sums.failed} failed`);
    process.exitCode = sums.failed === 0 ? 0 : 1;
  } else {
    console.log(await buildFakeCublasLt(path.join(root, 'build/cuda-emulation')));
  }
}
