// Runs of masks that native code makes from low-resolution logits, against encodeRle of the bitmap.
import { afterAll, describe, expect, test } from 'vitest';
import { Graph } from '../../lib/graph/graph';
import { Session } from '../../lib/graph/session';
import { encodeRle, maskArea, maskBox } from '../../lib/image/rle';
import { native } from '../../lib/native';
import { upsampleMasks } from '../../lib/ops';

const session = new Session({ device: 'cpu' });
afterAll(() => session.dispose());

const size = (width: number, height: number) => ({ width, height });
const input = size(64, 64);

// Deterministic noise of both signs.
function noise(count: number): Float32Array {
  let state = 12345;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

async function bitmaps(low: Float32Array, masks: number, lowSide: number, content: Size, out: Size) {
  const graph = new Graph();
  const logits = graph.input('low', [masks, 1, lowSide, lowSide]);
  graph.output(upsampleMasks(logits, { input, content, out }));
  const key = JSON.stringify([masks, lowSide, content, out]);
  const [all] = await session.run(key, () => graph, [low]);
  const pixels = out.width * out.height;
  return Array.from({ length: masks }, (_, m) => (all as Uint8Array).subarray(m * pixels, (m + 1) * pixels));
}

type Size = ReturnType<typeof size>;

describe('encodeMasks', () => {
  // Rows are made in bands of 128 and compared eight pixels at a time: sizes on both sides of these.
  const sizes = [
    size(1, 1),
    size(1, 300),
    size(300, 1),
    size(8, 128),
    size(7, 129),
    size(17, 256),
    size(9, 257),
    size(640, 401),
  ];
  for (const out of sizes) {
    test(`${out.width} × ${out.height}: noise, all, nothing, NaN`, async () => {
      const lowSide = 64;
      const plane = lowSide * lowSide;
      const low = new Float32Array(4 * plane);
      low.set(noise(plane));
      low.fill(1, plane, 2 * plane);
      low.fill(-1, 2 * plane, 3 * plane);
      low.fill(Number.NaN, 3 * plane);
      for (const content of [input, size(64, 40), size(1, 64)]) {
        const expected = await bitmaps(low, 4, lowSide, content, out);
        const found = await native().encodeMasks(
          low,
          ...([4, lowSide, lowSide, 64, 64, content.width, content.height, out.width, out.height] as const),
        );
        for (const [m, mask] of expected.entries()) {
          expect(found[m]).toEqual({
            counts: encodeRle(mask, out.width, out.height).counts,
            area: maskArea(mask),
            bbox: maskBox(mask, out.width, out.height),
          });
        }
      }
    });
  }

  test('a cancelled call rejects, sizes are checked', async () => {
    const addon = native();
    const token = new addon.CancelToken();
    token.cancel();
    const sizes = [1, 8, 8, 64, 64, 64, 64, 200, 200] as const;
    const cancelled = addon.encodeMasks(new Float32Array(64), ...sizes, token);
    await expect(cancelled).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(() => addon.encodeMasks(new Float32Array(63), ...sizes)).toThrow('low');
    const outside = [1, 8, 8, 64, 64, 65, 64, 200, 200] as const;
    expect(() => addon.encodeMasks(new Float32Array(64), ...outside)).toThrow('contentWidth');
  });
});
