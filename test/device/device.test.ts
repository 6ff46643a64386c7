// Devices: which one a request ends at, every reason why not another, and that the CPU never asks for CUDA. The CUDA addon
// is a stub here, or missing.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { CudaDevice, CudaInfo } from '../../lib/addon';
import { native } from '../../lib/native';

let dir: string;
beforeAll(() => {
  process.setMaxListeners(100); // every stub that loads adds its exit hook
  dir = mkdtempSync(path.join(os.tmpdir(), 'ba-sam-device-'));
});
afterAll(() => rmSync(dir, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

const device = (index: number, more: Partial<CudaDevice> = {}): CudaDevice => ({
  index,
  name: `GPU ${index}`,
  computeCapability: '9.0',
  memoryBytes: 2 ** 34,
  freeBytes: 2 ** 33,
  allocatedBytes: 0,
  peakBytes: 0,
  ...more,
});

const info = (more: Partial<CudaInfo> = {}): CudaInfo => ({
  backend: 'cuda',
  driver: '13.0',
  runtime: '13.0',
  cublasLt: { version: '13.0.0', path: '/lib/libcublasLt.so.13' },
  devices: [device(0), device(1)],
  unavailableReason: '',
  ...more,
});

let stubs = 0;

/** lib/device.ts as a fresh process sees it, with this CUDA addon, or none. */
async function load(addon: object | 'none') {
  let file = path.join(dir, 'none.node');
  if (addon !== 'none') {
    file = path.join(dir, `stub${++stubs}.cjs`);
    const { info: answer, ...rest } = addon as { info?: CudaInfo };
    const body = { version: 4, ...rest };
    writeFileSync(
      file,
      `module.exports = { ...${JSON.stringify(body)}, info: () => (${JSON.stringify(answer)}), shutDown() {} };`,
    );
  }
  vi.stubEnv('BA_SAM_CUDA_ADDON', file);
  vi.resetModules();
  return import('../../lib/device');
}

const reason = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    expect((error as { code: string }).code).toBe('ERR_DEVICE_UNAVAILABLE');
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
};

describe('without the CUDA addon', () => {
  it('auto and cpu are the CPU', async () => {
    const { resolveDevice, backends } = await load('none');
    expect(resolveDevice('auto')).toEqual({ kind: 'cpu' });
    expect(resolveDevice('cpu')).toEqual({ kind: 'cpu' });
    expect(backends()).toEqual([
      { backend: 'cpu', available: true },
      { backend: 'cuda', available: false, reason: expect.stringContaining('none.node: not there') },
    ]);
  });

  it.each(['cuda', 'cuda:0', 'cuda:12'] as const)('%s says how to get it', async (name) => {
    const { resolveDevice } = await load('none');
    const message = reason(() => resolveDevice(name));
    expect(message).toMatch(new RegExp(`^Device ${name} cannot be used: The CUDA addon of ba-sam could not`));
    // Nobody is sent to a package that is not published.
    expect(message).not.toContain('@ba-sam/');
    expect(message).toContain('`npm run build:cuda`');
    expect(message).toContain('none.node: not there');
    expect(message).toMatch(/Use device cpu or auto$/);
  });

  // Where one is, it is found, and the reasons are others.
  const built = ['build-cuda/Release', 'prebuilds/linux-x64'].some((folder) =>
    existsSync(path.join(__dirname, '..', '..', folder, 'ba_sam_cuda.node')),
  );
  it.skipIf(built)('looks in the build, the package and the prebuilds', async () => {
    const { resolveDevice } = await load('none');
    vi.stubEnv('BA_SAM_CUDA_ADDON', '');
    const message = reason(() => resolveDevice('cuda'));
    expect(message).toMatch(/build-cuda\/Release\/ba_sam_cuda\.node: /);
    expect(message).toMatch(/prebuilds\/linux-x64\/ba_sam_cuda\.node: not there/);
  });
});

describe('an addon that does not fit', () => {
  it('of another version', async () => {
    const { resolveDevice } = await load({ version: 1, info: info() });
    expect(reason(() => resolveDevice('cuda'))).toContain('expected version 4 but found 1; rebuild it');
    expect(resolveDevice('auto')).toEqual({ kind: 'cpu' });
  });

  it('the CPU addon', async () => {
    const { resolveDevice } = await load('none');
    vi.stubEnv('BA_SAM_CUDA_ADDON', path.join(__dirname, '../../build/Release/ba_sam.node'));
    expect(reason(() => resolveDevice('cuda'))).toContain('ba_sam.node: another addon of this package');
  });

  it('is looked for again: what was wrong may have passed', async () => {
    const { resolveDevice, backends } = await load('none');
    const file = path.join(dir, 'later.cjs');
    vi.stubEnv('BA_SAM_CUDA_ADDON', file);
    expect(reason(() => resolveDevice('cuda'))).toContain('later.cjs: not there');
    writeFileSync(file, "throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });");
    expect(reason(() => resolveDevice('cuda'))).toContain('later.cjs: EMFILE: too many open files');
    expect(backends()[1]!.available).toBe(false);
    writeFileSync(
      file,
      `module.exports = { version: ${native().version}, info: () => (${JSON.stringify(info())}), shutDown() {} };`,
    );
    expect(resolveDevice('cuda')).toEqual({ kind: 'cuda', index: 0 });
    writeFileSync(file, 'throw new Error("loaded twice")');
    expect(resolveDevice('cuda')).toEqual({ kind: 'cuda', index: 0 });
  });

  it('a damaged file', async () => {
    const { resolveDevice } = await load('none');
    const file = path.join(dir, 'damaged.node');
    writeFileSync(file, 'no library');
    vi.stubEnv('BA_SAM_CUDA_ADDON', file);
    expect(reason(() => resolveDevice('cuda'))).toMatch(/damaged\.node: .*(too short|invalid ELF)/);
  });
});

describe('with the CUDA addon', () => {
  it('auto takes the first device that can be used', async () => {
    const old = device(0, { reason: 'compute capability 7.5; needs 8.0 or later' });
    expect((await load({ info: info() })).resolveDevice('auto')).toEqual({ kind: 'cuda', index: 0 });
    const { resolveDevice, deviceName, backends } = await load({ info: info({ devices: [old, device(1)] }) });
    expect(resolveDevice('auto')).toEqual({ kind: 'cuda', index: 1 });
    expect(deviceName(resolveDevice('cuda:1'))).toBe('cuda:1');
    expect(reason(() => resolveDevice('cuda'))).toBe(
      'Device cuda cannot be used: GPU 0: compute capability 7.5; needs 8.0 or later. Use device cpu or auto',
    );
    expect(backends()[1]).toEqual({ backend: 'cuda', available: true, devices: [old, device(1)] });
  });

  it('an index out of range is told how many there are', async () => {
    const two = await load({ info: info() });
    expect(two.resolveDevice('cuda:1')).toEqual({ kind: 'cuda', index: 1 });
    expect(reason(() => two.resolveDevice('cuda:2'))).toContain('there are 2 devices, cuda:0 to cuda:1');
    const one = await load({ info: info({ devices: [device(0)] }) });
    expect(reason(() => one.resolveDevice('cuda:7'))).toContain('there is one device, cuda:0');
  });

  it.each([
    ['no driver', { devices: [], driver: '', unavailableReason: 'No NVIDIA driver was found' }],
    ['no device', { devices: [], unavailableReason: 'No CUDA device was found' }],
    [
      'no usable device',
      {
        devices: [device(0, { reason: 'too old' })],
        unavailableReason: 'No CUDA device can be used: device 0 (GPU 0): too old',
      },
    ],
    [
      'no cuBLASLt',
      { cublasLt: { reason: 'cuBLASLt was not found' }, unavailableReason: 'cuBLASLt was not found' },
    ],
  ] as [string, Partial<CudaInfo>][])('%s is said once, and auto is the CPU', async (_name, more) => {
    const { resolveDevice, backends } = await load({ info: info(more) });
    expect(resolveDevice('auto')).toEqual({ kind: 'cpu' });
    const text = more.unavailableReason!;
    expect(reason(() => resolveDevice('cuda'))).toBe(
      `Device cuda cannot be used: ${text}. Use device cpu or auto`,
    );
    expect(backends()[1]).toMatchObject({ available: false, reason: text });
  });

  it('lists every reason', async () => {
    const { resolveDevice } = await load({
      info: info({
        cublasLt: { reason: 'cuBLASLt was not found' },
        devices: [device(0), device(1, { reason: 'too old' })],
        unavailableReason: 'cuBLASLt was not found',
      }),
    });
    const message = reason(() => resolveDevice('cuda:1'));
    expect(message).toContain('cuBLASLt was not found; GPU 1: too old');
  });

  it('is not asked for by cpu, nor by a device that does not exist', async () => {
    // A stub that throws when it is loaded: only looking for it would show.
    const { resolveDevice, resolveCompute } = await load('none');
    const file = path.join(dir, 'loud.cjs');
    writeFileSync(file, 'globalThis.cudaAddonLoaded = true; module.exports = {};');
    vi.stubEnv('BA_SAM_CUDA_ADDON', file);
    expect(resolveDevice('cpu')).toEqual({ kind: 'cpu' });
    expect(resolveCompute({ device: 'cpu' })).toMatchObject({ dtype: 'f32', tf32: false });
    expect(() => resolveDevice('gpu' as 'cpu')).toThrow(
      'Expected auto, cpu, cuda or cuda:<index> for device',
    );
    expect(() => resolveDevice(0 as unknown as 'cpu')).toThrow('but received 0 of type number');
    expect(globalThis).not.toHaveProperty('cudaAddonLoaded');
    resolveDevice('auto');
    expect(globalThis).toHaveProperty('cudaAddonLoaded');
  });
});

describe('dtypes', () => {
  it('every dtype and tf32 on CUDA', async () => {
    const { resolveCompute } = await load({ info: info() });
    for (const dtype of ['f32', 'bf16', 'f16'] as const) {
      expect(resolveCompute({ dtype })).toEqual({
        ...{ device: { kind: 'cuda', index: 0 }, dtype, tf32: false, f8: false },
      });
    }
    expect(resolveCompute({ tf32: true })).toMatchObject({ dtype: 'f32', tf32: true });
    expect(() => resolveCompute({ dtype: 'bf16', tf32: true })).toThrow(
      'Expected no tf32 together with dtype bf16',
    );
  });

  it('f8 where tensor cores have it, and on the CPU', async () => {
    const { resolveCompute } = await load({
      info: info({ devices: [device(0, { computeCapability: '8.0' }), device(1)] }),
    });
    expect(resolveCompute({ device: 'cuda:1', dtype: 'bf16', f8: true })).toMatchObject({ f8: true });
    expect(() => resolveCompute({ device: 'cuda:0', dtype: 'bf16', f8: true })).toThrow(
      'Expected no f8 on GPU 0: products of e4m3 need compute capability 8.9 or later, not 8.0',
    );
    expect(resolveCompute({ device: 'cpu', f8: true })).toMatchObject({ dtype: 'f32', f8: true });
  });

  it('neither f16 nor tf32 on the CPU', async () => {
    const { resolveCompute } = await load('none');
    for (const name of ['auto', 'cpu'] as const) {
      expect(reason(() => resolveCompute({ device: name, dtype: 'f16' }))).toContain(
        'f16 needs a CUDA device',
      );
      expect(reason(() => resolveCompute({ device: name, tf32: true }))).toContain('no tf32 on the CPU');
    }
  });
});
