// The workers in Node.js: ba-sam's on the bundled model, the others on packages that only write down what they were asked.
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { readReport } from '../../../bench/peers/verdict.mts';
import { BUNDLED_MODEL, Sam } from '../../../lib/sam';
import { buildLibrary } from '../../support/library';
import { lives, scratch } from './helpers';

const SIZE = 64;

function run(worker: string, job: object) {
  const script = path.join(__dirname, '../../../bench/peers', worker);
  const stdout = execFileSync(process.execPath, [script, JSON.stringify(job)], { encoding: 'utf8' });
  return readReport(stdout, 2).report!;
}

/** A folder as export.py makes it, as far as these workers look. */
function place() {
  const folder = path.join(scratch(), String(SIZE));
  mkdirSync(folder);
  const bytes = Uint8Array.from({ length: 3 * SIZE * SIZE }, (_, i) => (i * 37 + (i >> 6)) % 256);
  writeFileSync(path.join(folder, 'image.u8'), bytes);
  const pixels = Float32Array.from(bytes, (value) => value / 64 - 2);
  writeFileSync(path.join(folder, 'pixels.f32'), new Uint8Array(pixels.buffer));
  const out = path.join(folder, 'out');
  const embedding = () => new Float32Array(new Uint8Array(readFileSync(out)).buffer);
  const modules = path.join(folder, 'node_modules');
  const job = { folder, base: folder, size: SIZE, dtype: 'f32', runs: 2, threads: 3, out, modules };
  const add = (name: string, code: string) => {
    mkdirSync(path.join(modules, name), { recursive: true });
    const about = { name, version: '4.5.6', main: 'main.js', exports: { '.': './main.js' } };
    writeFileSync(path.join(modules, name, 'package.json'), JSON.stringify(about));
    writeFileSync(path.join(modules, name, 'main.js'), code);
  };
  return { folder, bytes, pixels, job, embedding, add };
}

/** The embedding of a fake: what it was asked, in numbers. */
const FAKE_RESULT = `
const asked = (o, dims, data) => new Float32Array([o.intraOpNumThreads, o.interOpNumThreads, o.graphOptimizationLevel === 'all',
  o.executionMode === 'sequential', ...dims, data.length, data[5]]);`;
const ASKED = [3, 1, 1, 1, 1, 3, SIZE, SIZE, 3 * SIZE * SIZE];

it('ba-sam encodes the u8 image', async () => {
  buildLibrary();
  const { job, folder, bytes, embedding } = place();
  copyFileSync(BUNDLED_MODEL, path.join(folder, 'model.safetensors'));
  const report = run('worker-ba-sam.mjs', job);
  expect(report.versions).toMatchObject({ node: process.versions.node, 'ba-sam': expect.any(String) });
  await using sam = await Sam.load();
  const image = { data: bytes, width: SIZE, height: SIZE, channels: 3 as const };
  const expected = await sam.encode(image, { longestSide: SIZE });
  expect(embedding()).toEqual(expected.data);
});

it('onnxruntime-node gets its threads, all optimisations and the pixels', () => {
  const { job, pixels, embedding, add } = place();
  add(
    'onnxruntime-node',
    `${FAKE_RESULT}
    exports.Tensor = class { constructor(type, data, dims) { Object.assign(this, { type, data, dims }); } };
    exports.InferenceSession = { create: async (file, options) => ({ run: async ({ pixel_values: x }, outputs) => {
      if (!file.endsWith('onnx/vision_encoder.onnx') || outputs.join() !== 'image_embeddings' || x.type !== 'float32') throw 0;
      return { image_embeddings: { data: asked(options, x.dims, x.data) } };
    } }) };`,
  );
  const report = run('worker-onnx.mjs', job);
  expect(report.versions).toEqual({ node: process.versions.node, 'onnxruntime-node': '4.5.6' });
  expect([...embedding()]).toEqual([...ASKED, pixels[5]]);
});

it('transformers.js gets them, too, and never asks a network', () => {
  const { job, folder, pixels, embedding, add } = place();
  add('onnxruntime-node', '');
  add(
    '@huggingface/transformers',
    `${FAKE_RESULT}
    exports.env = {};
    exports.Tensor = class { constructor(type, data, dims) { Object.assign(this, { type, data, dims }); } };
    exports.SamModel = { from_pretrained: async (name, { session_options, ...rest }) => {
      const { allowRemoteModels, localModelPath } = exports.env;
      const wanted = JSON.stringify({ local_files_only: true, device: 'cpu', dtype: 'fp32' });
      if (allowRemoteModels !== false || localModelPath + '/' + name !== ${JSON.stringify(folder)} || JSON.stringify(rest) !== wanted) throw 0;
      return { get_image_embeddings: async ({ pixel_values: x }) => ({ image_embeddings: { data: asked(session_options, x.dims, x.data) } }) };
    } };`,
  );
  const report = run('worker-transformers-js.mjs', job);
  expect(report.versions).toMatchObject({ 'transformers.js': '4.5.6', 'onnxruntime-node': '4.5.6' });
  expect([...embedding()]).toEqual([...ASKED, pixels[5]]);
});

it('a worker that fails says so in one line', () => {
  const { job } = place();
  const script = path.join(__dirname, '../../../bench/peers/worker-onnx.mjs');
  try {
    execFileSync(process.execPath, [script, JSON.stringify(job)], { encoding: 'utf8', stdio: 'pipe' });
    expect.unreachable();
  } catch (error) {
    const { status, stderr } = error as { status: number; stderr: string };
    expect(status).toBe(1);
    expect(stderr).toMatch(/^MODULE_NOT_FOUND: Cannot find module 'onnxruntime-node'/);
  }
});

it('a worker ends when the benchmark was killed', async () => {
  const { job, folder, add } = place();
  const pidFile = path.join(folder, 'pid');
  add(
    'onnxruntime-node',
    `exports.Tensor = class {};
    exports.InferenceSession = { create: async () => ({ run: () => new Promise((resolve) => {
      setTimeout(resolve, 20_000);
      require('node:fs').writeFileSync(${JSON.stringify(pidFile)}, String(process.pid));
    }) }) };`,
  );
  const worker = path.join(__dirname, '../../../bench/peers/worker-onnx.mjs');
  const args = JSON.stringify([worker, JSON.stringify(job)]);
  const code = `require('node:child_process').spawn(process.execPath, ${args}, { detached: true, stdio: 'ignore' })`;
  const benchmark = spawn(process.execPath, ['-e', code]);
  const pid = () => (existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : 0);
  await expect.poll(pid).toBeGreaterThan(0);
  expect(lives(pid())).toBe(true);
  benchmark.kill('SIGKILL');
  await expect.poll(() => lives(pid())).toBe(false);
});
