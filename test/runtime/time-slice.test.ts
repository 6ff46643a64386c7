// Copies of a caller's arrays: at once when they are small, in pieces when they are large.
import { describe, expect, it } from 'vitest';
import { copyInSlices } from '../../lib/time-slice';

const LARGE = 3 * 2 ** 20 + 5;

describe('copyInSlices', () => {
  it.each([
    ['Uint8Array', () => new Uint8Array(4 * LARGE)],
    ['Buffer', () => Buffer.alloc(4 * LARGE)],
    ['Uint8ClampedArray', () => new Uint8ClampedArray(4 * LARGE)],
    ['Uint16Array', () => new Uint16Array(2 * LARGE)],
    ['Float32Array', () => new Float32Array(LARGE)],
    ['a part of a buffer', () => new Float32Array(new ArrayBuffer(4 * LARGE + 8), 8)],
    ['a small one', () => new Uint16Array(7)],
    ['an empty one', () => new Float32Array(0)],
  ])('%s', async (_, make) => {
    const source = make();
    for (let i = 0; i < source.length; i++) source[i] = Math.imul(i, 2654435761) >>> 24;
    const copy = await copyInSlices(source, 'it');
    expect(copy.buffer).not.toBe(source.buffer);
    expect(copy.length).toBe(source.length);
    const bytes = (array: Uint8Array | Uint8ClampedArray | Uint16Array | Float32Array) =>
      Buffer.from(array.buffer, array.byteOffset, array.byteLength);
    expect(Buffer.compare(bytes(copy), bytes(source))).toBe(0);
  });

  it('has copied up to 8 MiB when it returns', async () => {
    const source = new Uint8Array(2 ** 23).fill(7);
    const copying = copyInSlices(source, 'it');
    source.fill(9);
    structuredClone(source.buffer, { transfer: [source.buffer] });
    expect((await copying).every((value) => value === 7)).toBe(true);
  });

  it('refuses a large array that is transferred meanwhile', async () => {
    const source = new Uint8Array(2 ** 28);
    const copying = copyInSlices(source, 'image.data');
    structuredClone(source.buffer, { transfer: [source.buffer] });
    await expect(copying).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: 'Expected image.data to stay in place but it was transferred',
    });
  });
});
