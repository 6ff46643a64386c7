// A model whose window is as large as the grid it was trained on, at another size: what transformers gives for it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type LoadOptions, Sam } from '../../lib';

const fixtures = join(import.meta.dirname, '..', 'checkpoint', 'fixtures');
/** Embeddings [8, 6, 6] of an input of 24 px, by global blocks; see write_window of make_fixtures.py. */
const expected: Record<string, number[]> = JSON.parse(
  readFileSync(join(fixtures, 'window.expected.json'), 'utf8'),
);
const side = 24;
const pixelValues = Float32Array.from(
  { length: 3 * side * side },
  (_, i) => (((i * 7919) % 1009) / 1009) * 4 - 2,
);

/** Root mean square error of the embedding, relative to the root mean square of what is expected. */
async function error(options: LoadOptions, blocks: string): Promise<number> {
  await using sam = await Sam.load(join(fixtures, 'window.safetensors'), { device: 'cpu', ...options });
  const { data } = await sam.encode({ pixelValues, shape: [1, 3, side, side] });
  const wanted = expected[blocks]!;
  expect(data.length).toBe(wanted.length);
  const squares = (values: readonly number[]) => values.reduce((sum, value) => sum + value * value, 0);
  return Math.sqrt(squares(wanted.map((value, i) => data[i]! - value)) / squares(wanted));
}

describe('global blocks that no tensor tells', () => {
  test('are those of SAM', async () => {
    expect(await error({}, '1,3,5,7')).toBeLessThan(1e-5);
    expect(await error({}, '0,3')).toBeGreaterThan(0.01);
  });

  test('or those of the option', async () => {
    expect(await error({ globalBlocks: [3, 0] }, '0,3')).toBeLessThan(1e-5);
  });
});
