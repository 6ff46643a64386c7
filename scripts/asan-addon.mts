// The CPU addon's border to JavaScript under AddressSanitizer, in Node: buffers that are taken away and workers that are terminated.
// `npm run test:asan` runs it after the native tests; its counts go to build/test-results. Only node/ and core/ are built for it (they alone touch memory that
// JavaScript can free); kernels are those of the addon that is there.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { findOneDnn } from './find-onednn.mjs';
import { compile, link, run } from './native-compile.mts';
import { buildOption, nativeSources, root } from './native-sources.mjs';
import { SANITIZER_ENV, VARIANTS } from './native-tests.mts';

const BUILT = path.join(root, 'build/Release/obj.target/ba_sam');
const FOLDER = path.join(root, 'build/asan-addon');
const cxx = process.env.CXX ?? 'g++';

async function buildAddon(): Promise<string> {
  const oneDnn = findOneDnn();
  const headers = path.join(path.dirname(path.dirname(process.execPath)), 'include/node');
  const api = existsSync(headers) ? headers : path.join(root, 'node_modules/node-api-headers/include');
  const flags = [
    ...[...buildOption('compile'), ...buildOption('cpu-compile'), ...VARIANTS.asan.compile, '-fPIC'],
    ...buildOption('addon-defines').map((name: string) => `-D${name}`),
    ...[api, path.join(root, 'node_modules/node-addon-api'), oneDnn.include].map((name) => `-I${name}`),
    '-Wno-cast-function-type',
  ];
  const sources: string[] = nativeSources('cpu-addon');
  const watched = sources.filter((file) => /^native\/(node|core)\//.test(file));
  const kernels = sources
    .filter((file) => !watched.includes(file))
    .map((file) => path.join(BUILT, file.replace(/\.cpp$/, '.o')));
  const missing = kernels.find((file) => !existsSync(file));
  if (missing) throw new Error(`${missing} is not there: npm run build:native`);
  const objects = await compile({ folder: FOLDER, cxx, flags, sources: watched });
  const program = path.join(FOLDER, 'ba_sam.node');
  const linkFlags = ['-shared', ...buildOption('cpu-link'), ...VARIANTS.asan.link, ...oneDnn.linkFlags];
  await link({ objects: [...objects, ...kernels], program, cxx, flags: linkFlags });
  return program;
}

/** Runs a script of test/lifecycle with the addon. @returns its exit status and what it wrote */
async function runScript(addon: string, preload: string, script: string, ...args: string[]) {
  const file = path.join(root, 'test/lifecycle/scripts', script);
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', file, ...args], {
    encoding: 'utf8',
    env: {
      ...process.env,
      ...SANITIZER_ENV,
      // Node and V8 leave at the end what they have, and free what they got by other means.
      ASAN_OPTIONS: `${SANITIZER_ENV.ASAN_OPTIONS}:detect_leaks=0:alloc_dealloc_mismatch=0`,
      LD_PRELOAD: preload,
      BA_SAM_ADDON: addon,
      BA_SAM_LIB: path.join(root, 'dist/index.js'),
    },
  });
  return { status, output: `${stdout}${stderr}` };
}

const cases = [['detached.cjs'], ['terminate.cjs', '10'], ['exit-in-flight.cjs', 'exit']] as const;
const start = performance.now();
let passed = 0;
let failed = 0;
try {
  const addon = await buildAddon();
  const preload = (await run(cxx, ['-print-file-name=libasan.so'])).trim();
  const broken = await runScript(addon, preload, 'detached.cjs', 'broken');
  if (broken.status === 0 || !broken.output.includes('heap-use-after-free'))
    throw new Error(`AddressSanitizer did not see a read of freed memory:\n${broken.output}`);
  passed++;
  for (const [script, ...args] of cases) {
    const { status, output } = await runScript(addon, preload, script, ...args);
    if (status !== 0) throw new Error(`${script} ended with ${status} under AddressSanitizer:\n${output}`);
    passed++;
  }
} catch (error) {
  failed++;
  console.error(error instanceof Error ? error.message : error);
}
const results = path.join(root, 'build/test-results');
mkdirSync(results, { recursive: true });
writeFileSync(path.join(results, 'native-asan-addon.json'), JSON.stringify({ all: { passed, failed } }));
const seconds = ((performance.now() - start) / 1000).toFixed(1);
console.log(`the addon in Node: ${passed} passed, ${failed} failed, ${seconds} s with compiling`);
process.exitCode = failed === 0 ? 0 : 1;
