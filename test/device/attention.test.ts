// attention(), the bare kernel, against a loop; devices and dtypes that it refuses.
import { describe, expect, it } from 'vitest';
import { attention } from '../../lib/index';
import { bareAttention, bareAttentionCase } from '../support/bare-attention';
import { largestRelativeError } from '../support/compare';

describe('attention', () => {
  it('is softmax(scale · q kᵀ + biases) · v', async () => {
    const c = bareAttentionCase();
    const { out, milliseconds } = await attention(c.q, c.k, c.v, c.options);
    expect(largestRelativeError(out, bareAttention(c))).toBeLessThanOrEqual(1e-5);
    expect(milliseconds).toBeGreaterThan(0);
  });

  it.each([
    ['f16 on the CPU', { dtype: 'f16' }, 'ERR_DEVICE_UNAVAILABLE', /f16 needs a CUDA device/],
    ['CUDA without its addon', { device: 'cuda' }, 'ERR_DEVICE_UNAVAILABLE', /Device cuda cannot be used/],
    ['an unknown device', { device: 'tpu' }, 'ERR_INVALID_ARGUMENT', /for device but received "tpu"/],
    ['an unknown instruction set', { isa: 'sse9' }, 'ERR_INVALID_ARGUMENT', /one of scalar, avx2/],
  ] as const)('refuses %s', async (_name, options, code, message) => {
    const data = new Uint16Array(64);
    await expect(
      attention(data, data, data, { heads: 2, headDim: 8, ...(options as object) }),
    ).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('takes a dtype for 16-bit data only', async () => {
    const data = new Float32Array(64);
    await expect(attention(data, data, data, { heads: 2, headDim: 8, dtype: 'bf16' })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
  });
});
