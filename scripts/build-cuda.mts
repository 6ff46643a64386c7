// Builds the CUDA addon and libba_sam_attention.so into build-cuda/Release: `npm run build:cuda`
//   -- --arch 80,90     machine code for these only (default: all that the toolkit knows of 80 86 89 90 100 120)
//   -- --tests          the native GPU tests and benchmarks, too (build-cuda/Release/tests)
//   -- --clean          from scratch
//   -- --out DIR        another folder than build-cuda
//   -- --emulated       the same sources compiled by g++ against the host emulation, into build-cuda-emulated/Release
// Needs no GPU. Says in one line what is missing.
import { readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { buildWithCMake, fail } from './build-native.mjs';
import { buildEmulatedAddon, buildEmulatedAttention } from './cuda-emulated-build.mts';
import { chosenArchitectures, findCudaToolkit } from './cuda-toolkit.mjs';
import { root } from './native-sources.mjs';

const { values: args } = parseArgs({
  options: {
    arch: { type: 'string' },
    tests: { type: 'boolean', default: false },
    clean: { type: 'boolean', default: false },
    out: { type: 'string' },
    emulated: { type: 'boolean', default: false },
  },
});

function report(folder: string): void {
  for (const name of readdirSync(folder)
    .filter((file) => /\.(node|so)$/.test(file))
    .sort()) {
    const bytes = statSync(path.join(folder, name)).size;
    console.log(`${path.relative(root, path.join(folder, name))}: ${(bytes / 2 ** 20).toFixed(1)} MiB`);
  }
}

function build() {
  const toolkit = findCudaToolkit();
  if (toolkit.reason) fail(toolkit.reason);
  let codes: number[];
  try {
    codes = chosenArchitectures(args.arch, toolkit);
  } catch (error) {
    fail(error);
  }
  const out = path.resolve(root, args.out ?? 'build-cuda');
  if (args.clean) rmSync(out, { recursive: true, force: true });
  const start = performance.now();
  console.log(`CUDA ${toolkit.version}: sm_${codes.join(', sm_')}, PTX of compute_${codes.at(-1)}`);
  buildWithCMake(out, {
    BA_SAM_CUDA: 'ON',
    BA_SAM_CUDA_ARCH: codes.join(','),
    BA_SAM_CUDA_TESTS: args.tests ? 'ON' : 'OFF',
    CMAKE_CUDA_COMPILER: toolkit.nvcc,
  });
  console.log(`built in ${((performance.now() - start) / 1000).toFixed(0)} s`);
  report(path.join(out, 'Release'));
}

async function buildEmulated() {
  const out = path.resolve(root, args.out ?? 'build-cuda-emulated');
  if (args.clean) rmSync(out, { recursive: true, force: true });
  const start = performance.now();
  try {
    await buildEmulatedAttention(out);
    await buildEmulatedAddon(out);
  } catch (error) {
    fail(error);
  }
  console.log(`built in ${((performance.now() - start) / 1000).toFixed(0)} s`);
  report(path.join(out, 'Release'));
}

if (args.emulated) await buildEmulated();
else build();
