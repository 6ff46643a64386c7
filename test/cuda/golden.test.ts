// Golden encoders and predictions on a CUDA device. BA_SAM_TEST_CUDA_ADDON names the addon: one built with nvcc where there
// is a GPU, or the emulated one (npm run build:cuda -- --emulated), which executes the kernels on the CPU. Without it
// everything here is skipped, and said to be.
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attention, backends, type LoadOptions, Sam } from '../../lib/index';
import { bareAttention, bareAttentionCase } from '../support/bare-attention';
import { largestRelativeError, relativeL2 } from '../support/compare';
import { encoderSuite } from '../support/encoder-suite';
import { goldenImage } from '../support/golden';
import {
  demoCases,
  expectedOf,
  flattened,
  maskIou,
  named,
  type PredictCase,
  predictCase,
  sharedCases,
} from '../support/predict-cases';

const ADDON = process.env.BA_SAM_TEST_CUDA_ADDON;
/** Emulated, a second of a GPU is minutes. */
const TIMEOUT = 600_000;

if (ADDON) process.env.BA_SAM_CUDA_ADDON = path.resolve(ADDON);
else console.warn('test/cuda/golden.test.ts: skipped, BA_SAM_TEST_CUDA_ADDON names no addon');

function hasF8(): boolean {
  return ADDON !== undefined && backends()[1].devices?.[0]?.computeCapability === '9.0';
}

describe.skipIf(!ADDON)('CUDA', () => {
  encoderSuite({
    device: 'cuda',
    dtypes: ['f32', 'bf16', 'f16'],
    tolerance: { f32: 5e-4, half: 2e-2 },
    timeout: TIMEOUT,
  });

  it('is there', () => {
    expect(backends()[1]).toMatchObject({ backend: 'cuda', available: true });
  });

  // Devices of other compute capabilities have no such products, or are not known to.
  describe.skipIf(!hasF8())('f8', () => {
    it.each(['f32', 'bf16', 'f16'] as const)(
      'rounds as the CPU does, %s',
      { timeout: TIMEOUT },
      async (dtype) => {
        const encode = async (options: LoadOptions): Promise<Float32Array> => {
          const sam = await Sam.load(
            path.join(__dirname, '..', 'fixtures', 'golden', 'd64.safetensors'),
            options,
          );
          const pixelValues = goldenImage({ height: 480, width: 480, imageSeed: 1 });
          const { data, f8 } = await sam.encode(
            { pixelValues, shape: [1, 3, 480, 480] },
            { lengthScale: true },
          );
          expect(f8).toBe(options.f8 === true);
          await sam.dispose();
          return data;
        };
        const plain = await encode({ device: 'cpu' });
        const onCpu = await encode({ device: 'cpu', f8: true });
        const onDevice = await encode({ device: 'cuda', dtype, f8: true });
        // A sum that differs in its last bit may be rounded to the next e4m3: in few places in f32, in many in 16 bits.
        expect(relativeL2(onDevice, onCpu)).toBeLessThanOrEqual(dtype === 'f32' ? 0.02 : 0.08);
        expect(relativeL2(onDevice, plain)).toBeGreaterThan(0.05);
      },
    );
  });

  it('computes bare attention', { timeout: TIMEOUT }, async () => {
    const c = bareAttentionCase();
    const { out, milliseconds } = await attention(c.q, c.k, c.v, { ...c.options, device: 'cuda' });
    expect(largestRelativeError(out, bareAttention(c))).toBeLessThanOrEqual(1e-5);
    expect(milliseconds).toBeGreaterThanOrEqual(0);
    const isa = attention(c.q, c.k, c.v, { ...c.options, device: 'cuda', isa: 'avx2' });
    await expect(isa).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  describe('predictions', () => {
    let sam: Sam;
    let cpu: Sam;
    beforeAll(async () => {
      sam = await Sam.load(undefined, { device: 'cuda' });
      cpu = await Sam.load(undefined, { device: 'cpu' });
    }, TIMEOUT);
    afterAll(() => Promise.all([sam?.dispose(), cpu?.dispose()]));

    async function check(c: PredictCase): Promise<void> {
      const expected = await expectedOf(c);
      const predictions = await predictCase(sam, c);
      const actual = flattened(predictions);
      expect(largestRelativeError(actual.low, expected.low)).toBeLessThanOrEqual(5e-4);
      expect(largestRelativeError(actual.iou, expected.iou)).toBeLessThanOrEqual(5e-4);
      const onCpu = (await predictCase(cpu, c)).flatMap((prediction) => prediction.masks);
      for (const [i, mask] of predictions.flatMap((prediction) => prediction.masks).entries()) {
        expect(maskIou(mask.data, onCpu[i].data)).toBeGreaterThanOrEqual(0.995);
      }
    }

    it('says where it runs', () => {
      expect(sam.device).toBe('cuda:0');
      expect(cpu.device).toBe('cpu');
    });
    it('gives the same bits on two devices at once', { timeout: TIMEOUT }, async ({ skip }) => {
      if ((backends()[1].devices ?? []).filter(({ reason }) => !reason).length < 2) skip('one device');
      const second = await Sam.load(undefined, { device: 'cuda:1' });
      expect(second.device).toBe('cuda:1');
      const [a, b] = await Promise.all([sam, second].map((one) => predictCase(one, demoCases[0])));
      expect(flattened(b)).toEqual(flattened(a));
      await second.dispose();
      expect(flattened(await predictCase(sam, demoCases[0]))).toEqual(flattened(a));
    });
    it('refuses a device that is not there', async () => {
      const count = backends()[1].devices!.length;
      await expect(Sam.load(undefined, { device: `cuda:${count}` })).rejects.toMatchObject({
        code: 'ERR_DEVICE_UNAVAILABLE',
        message: expect.stringMatching(/there (is one device|are \d+ devices), cuda:0/),
      });
    });
    it.each(named([...demoCases, ...sharedCases]))('%s', { timeout: TIMEOUT }, async (_name, c) => check(c));
  });
});
