// `ba-sam info`: the machine, and the configuration of every kind of checkpoint.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path, { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint';
import { type TensorToWrite, writeSafetensors } from '../../lib/checkpoint/write-safetensors';
import { baSam, GOLDEN, place, ROOT, refused, temporaryFolder } from './run';

const folder = temporaryFolder();
const NANO = path.join(ROOT, 'models', 'sam-nano.safetensors');

/** The small model's checkpoint with more tensors, of one element each. */
async function withTensors(name: string, names: readonly string[]): Promise<string> {
  const file = await openCheckpoint(NANO);
  const tensors: TensorToWrite[] = [];
  for (const { name, dtype, shape } of file.tensors.values()) {
    tensors.push({ name, dtype, shape, data: await file.read(name) });
  }
  await file.close();
  for (const name of names) tensors.push({ name, dtype: 'f32', shape: [1], data: new Float32Array(1) });
  const path = join(folder, name);
  await writeSafetensors(path, tensors);
  return path;
}

async function json(args: string[], env?: NodeJS.ProcessEnv) {
  const { status, stdout, stderr } = await baSam(['info', '--json', ...args], { env });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout);
}

describe('the machine', () => {
  it('is described as JSON', async () => {
    const report = await json([]);
    expect(report).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      node: process.version,
      backends: [
        { backend: 'cpu', available: true },
        { backend: 'cuda', available: expect.any(Boolean) },
      ],
      processor: { name: expect.any(String), features: expect.any(Array) },
      cpu: { isa: expect.any(String), threads: expect.any(Number), oneDNN: expect.stringMatching(/^\d/) },
      cuda: null,
    });
    expect(report.cpu.supportedIsas).toContain(report.cpu.isa);
    expect(report).not.toHaveProperty('model');
    for (const { available, reason } of report.backends) expect(reason === undefined).toBe(available);
  });

  it('is described in aligned lines', async () => {
    const { status, stdout } = await baSam(['info']);
    expect(status).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.length).toBeGreaterThan(6);
    const column = lines[0].search(/ {2}\S/) + 2;
    for (const line of lines) expect(line.slice(0, column)).toMatch(/^\S+( \S+)* {2,}$/);
  });

  it('is described without the addon too, with the reason', async () => {
    const report = await json([NANO], { BA_SAM_ADDON: '/nowhere/ba_sam.node' });
    expect(report.backends[0]).toMatchObject({ available: false });
    expect(report.backends[0].reason).toContain('/nowhere/ba_sam.node: not there');
    expect(report.cpu).toBeNull();
    expect(report.model.config.depth).toBe(6);
  });
});

describe('CUDA', () => {
  const stub = (name: string, info: object) => {
    const body = `module.exports = { version: 4, info: () => (${JSON.stringify(info)}), shutDown() {} };`;
    return { BA_SAM_CUDA_ADDON: place(folder, name, body) };
  };
  const device = {
    index: 0,
    name: 'A GPU',
    computeCapability: '9.0',
    memoryBytes: 2 ** 34,
    freeBytes: 2 ** 33,
  };
  const info = {
    ...{ backend: 'cuda', driver: '13.0', runtime: '12.8', devices: [device], unavailableReason: '' },
    cublasLt: { version: '13.0.2', path: '/lib/libcublasLt.so.13' },
  };

  it('is described with its devices', async () => {
    const env = stub('devices.cjs', {
      ...info,
      devices: [device, { ...device, index: 1, reason: 'too old' }],
    });
    const { stdout } = await baSam(['info'], { env });
    expect(stdout).toMatch(/^cuda +available$/m);
    expect(stdout).toMatch(/^CUDA +built with 12\.8, driver for 13\.0$/m);
    expect(stdout).toMatch(/^cuBLASLt +13\.0\.2 from \/lib\/libcublasLt\.so\.13$/m);
    expect(stdout).toMatch(/^cuda:0 +A GPU, compute capability 9\.0, 8\.0 GiB of 16\.0 GiB free$/m);
    expect(stdout).toMatch(/^cuda:1 +A GPU, .* \(cannot be used: too old\)$/m);
    expect((await json([], env)).cuda.devices[0]).toEqual(device);
  });

  it('is described without a device, with the reason', async () => {
    const unavailableReason = 'No NVIDIA driver was found';
    const env = stub('none.cjs', { ...info, driver: '', devices: [], unavailableReason });
    const { stdout } = await baSam(['info'], { env });
    expect(stdout).toMatch(/^cuda +unavailable: No NVIDIA driver was found$/m);
    expect(stdout).toMatch(/^CUDA +built with 12\.8, driver for none$/m);
  });
});

describe('a model', () => {
  it('has its configuration inferred', async () => {
    const { model } = await json([NANO]);
    expect(model).toMatchObject({
      file: NANO,
      format: 'safetensors',
      naming: 'official',
      ...{ ignored: 0, ignoredTensors: [], unknownTensors: [], extension: null },
      config: {
        ...{ patch: 16, width: 192, heads: 3, headDim: 64, depth: 6, window: 8, globalBlocks: [2, 5] },
        ...{ trainedGrid: 16, trainedSide_px: 256, hasDecoder: true },
      },
    });
    const { stdout } = await baSam(['info', NANO]);
    expect(stdout).toMatch(/encoder +6 blocks, 192 channels, 3 heads × 64, patch 16\n/);
    expect(stdout).toMatch(/attention +global in blocks 2 5, otherwise windows of 8 × 8\n/);
  });

  it('may be an encoder only, with a learned coefficient', async () => {
    const { model } = await json([path.join(GOLDEN, 'coefficient.safetensors')]);
    expect(model.config).toMatchObject({ hasDecoder: false, decoder: null, hasCoefficient: true });
    const { stdout } = await baSam(['info', path.join(GOLDEN, 'coefficient.safetensors')]);
    expect(stdout).toMatch(/decoder +none: encoder only\n/);
  });

  it('has its tensors listed that are not used', async () => {
    const names = [
      'image_encoder.blocks.0.attn.qkv.lora_A',
      'image_encoder.blocks.0.attn.qkv.lora_B',
      'image_encoder.x\u001b[2J',
    ];
    const path = await withTensors('more.safetensors', [...names, 'pixel_mean']);
    const { model } = await json([path]);
    expect(model).toMatchObject({
      ...{ ignored: 4, extension: expect.stringMatching(/^a SAM with LoRA layers/) },
      ...{ ignoredTensors: expect.arrayContaining([...names, 'pixel_mean']) },
      ...{ unknownTensors: expect.arrayContaining(names) },
    });
    expect(model.unknownTensors).toHaveLength(3);
    const { stdout } = await baSam(['info', path]);
    expect(stdout).toMatch(/^ignored +1 tensor: "pixel_mean"$/m);
    expect(stdout).toMatch(
      /^unknown +this is a SAM with LoRA layers .*; 3 tensors: "image_encoder.*"; it loads only with --ignore-unknown$/m,
    );
    expect(stdout).not.toContain('\u001b');
    expect((await baSam(['info', path, '--ignore-unknown'])).stdout).not.toContain('loads only');

    const many = await withTensors(
      'many.safetensors',
      Array.from({ length: 25 }, (_, i) => `mask_decoder.${i}`),
    );
    expect((await baSam(['info', many])).stdout).toMatch(
      /25 tensors: .*, "mask_decoder\.\d+" and 5 more \(all in --json\)/,
    );
    await refused(
      ['encode', NANO, '--model', many, '-o', 'e.safetensors'],
      /found 25 tensors .*first "mask_/,
      folder,
    );
  });

  it('may be a folder with its parts in several files, none of which is replaced', async () => {
    const parts = join(folder, 'parts');
    mkdirSync(parts);
    copyFileSync(NANO, join(parts, 'part-1.safetensors'));
    const file = await openCheckpoint(NANO);
    const map = Object.fromEntries([...file.tensors.keys()].map((name) => [name, 'part-1.safetensors']));
    await file.close();
    writeFileSync(join(parts, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
    const { model } = await json([parts]);
    expect(model).toMatchObject({ file: parts, format: 'safetensors', config: { depth: 6 } });
    const part = join(parts, 'part-1.safetensors');
    const args = ['encode', join(ROOT, 'test', 'fixtures', 'gradient.png'), '--model', parts, '-o', part];
    await refused(args, /Expected different files for --model and --output but received .*part-1/, folder);
  });

  it('has global blocks that are assumed, or said', async () => {
    const path = join(ROOT, 'test', 'checkpoint', 'fixtures', 'window.safetensors');
    expect((await baSam(['info', path])).stdout).toMatch(
      /^attention +global in blocks 1 3 5 7 \(assumed, the last of every quarter as in SAM: .*--global-blocks does\), otherwise windows of 3 × 3$/m,
    );
    const { model } = await json([path, '--global-blocks', '3,0']);
    expect(model.config).toMatchObject({ globalBlocks: [0, 3], globalBlocksFrom: 'option' });
    await refused(['info', path, '--global-blocks', '8'], /Expected indices of the model's 8 blocks/, folder);
    await refused(['info', path, '--global-blocks', '1,x'], /--global-blocks but received "x"/, folder);
  });

  it.each([
    ['missing.safetensors', undefined, /missing\.safetensors: cannot be opened/],
    ['text.pth', 'hello, world, this is no checkpoint', /text\.pth: is neither a safetensors file nor/],
    ['empty.safetensors', '', /empty\.safetensors: is empty/],
  ] as const)('%s is refused', async (name, bytes, message) => {
    if (bytes !== undefined) place(folder, name, bytes);
    await refused(['info', name], message, folder);
  });
});
