// attention(), the bare kernel, against a loop; devices and dtypes that it refuses.
import { runInNewContext } from 'node:vm';
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

  it.each([Number.NaN, Number.POSITIVE_INFINITY, 1e39, -1e31])('refuses the scale %d', async (scale) => {
    const data = new Float32Array(64);
    await expect(attention(data, data, data, { heads: 2, headDim: 8, scale })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining('for options.scale but received'),
    });
  });

  it('gives no number for what is none', async () => {
    const tokens = () => new Float32Array(64).fill(1);
    const q = tokens();
    q[0] = Number.NaN;
    const { out } = await attention(q, tokens(), tokens(), { heads: 2, headDim: 8 });
    expect([...out].map(Number.isNaN)).toEqual(Array.from({ length: 64 }, (_, i) => i < 8));
  });

  it.each([
    ['NaN', Float32Array.of(Number.NaN, 1), /Expected .*typed array of them.* for options\.distance\.slopes/],
    ['a negative slope', Float32Array.of(1, -1), /for options\.distance\.slopes/],
    ['a slope that overflows', Float32Array.of(1, 1e38), /for options\.distance\.slopes/],
    ['too many slopes', new Float32Array(3), /Expected 1 or 2 slopes .* received 3/],
    [
      'an array of no numbers',
      new BigInt64Array(2) as never,
      /for options\.distance\.slopes but received BigInt64Array/,
    ],
    ['another word', 'steep' as 'alibi', /for options\.distance\.slopes but received "steep"/],
  ])('refuses slopes with %s', async (_name, slopes, message) => {
    const data = new Float32Array(64);
    const distance = { metric: 'manhattan', slopes } as const;
    await expect(
      attention(data, data, data, { heads: 2, headDim: 8, grid: { h: 2, w: 2 }, distance }),
    ).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT', message: expect.stringMatching(message) });
  });

  it('takes slopes in any form', async () => {
    const c = bareAttentionCase();
    const run = async (slopes: Float32Array | number[] | number) =>
      (await attention(c.q, c.k, c.v, { ...c.options, distance: { metric: 'manhattan', slopes } })).out;
    const other = new (runInNewContext('Float32Array') as Float32ArrayConstructor)(c.options.heads).fill(
      0.25,
    );
    expect(await run(other)).toEqual(await run(0.25));
    expect(await run([0.25, 0.25])).toEqual(await run(0.25));
  });

  it('takes a dtype for 16-bit data only', async () => {
    const data = new Float32Array(64);
    await expect(attention(data, data, data, { heads: 2, headDim: 8, dtype: 'bf16' })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
  });
});
