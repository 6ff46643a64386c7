// Compiles the CPU backend against the oneDNN 3.x of ONEDNN_ROOT and runs random graphs of every op on it, beside the
// ordinary build: for machines that have 2.6 and a 3.x of their own.
//   ONEDNN_ROOT=/opt/onednn npm run check:onednn3 [-- --build-only]
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { findOneDnn } from './find-onednn.mjs';
import { compile, link } from './native-compile.mts';
import { buildOption, nativeSources, root } from './native-sources.mjs';
import { runTest } from './native-tests.mts';

const oneDnn = findOneDnn();
const headers = path.join(oneDnn.include, 'oneapi/dnnl');
const version = readdirSync(headers)
  .filter((name) => /^dnnl_version.*\.h$/.test(name))
  .map((name) => readFileSync(path.join(headers, name), 'utf8').match(/DNNL_VERSION_MAJOR (\d+)/)?.[1])
  .find(Boolean);
if (!(Number(version) >= 3)) {
  console.error(`Expected oneDNN 3.x in ONEDNN_ROOT but ${oneDnn.root} has ${version}.x`);
  process.exit(1);
}

const folder = path.join(root, 'build/onednn3');
const cxx = process.env.CXX ?? 'g++';
const flags = [...buildOption('compile'), ...buildOption('cpu-compile'), '-O1', `-I${oneDnn.include}`];
const sources = [...nativeSources('cpu-library', 'cases'), 'test/native/plan_test.cpp'];
const objects = await compile({ sources, folder, cxx, flags });
const program = path.join(folder, 'plan_test');
// A library made for a newer glibc may ask for symbols that only its own system has.
const linkFlags = [...buildOption('cpu-link'), '-Wl,--allow-shlib-undefined', ...oneDnn.linkFlags];
await link({ objects, program, cxx, flags: linkFlags });
console.log(program);
if (!process.argv.includes('--build-only')) console.log((await runTest(program)).output.trim());
