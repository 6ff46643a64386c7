// The image encoder against the float64 reference: every golden case, stages included. One suite for every device.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint';
import { openSamCheckpoint } from '../../lib/checkpoint/keys';
import type { Device } from '../../lib/device';
import { Session } from '../../lib/graph/session';
import { resolveSettings } from '../../lib/model/ba-sam';
import type { SamConfig } from '../../lib/model/config';
import { attentionOf, imageEncoder } from '../../lib/model/families';
import { loadWeights } from '../../lib/model/load-weights';
import type { ComputeDType } from '../../lib/model/weights';
import { largestRelativeError, relativeL2 } from './compare';
import { goldenImage } from './golden';

export interface EncoderSuite {
  device: Device;
  dtypes: readonly ComputeDType[];
  /** Largest error in f32 by the largest value, and relative L2 error in the 16-bit dtypes. */
  tolerance: { f32: number; half: number };
  /** Per test, ms. */
  timeout?: number;
}

const FIXTURES = path.join(__dirname, '..', 'fixtures', 'golden');

interface GoldenCase {
  key: string;
  height: number;
  width: number;
  imageSeed: number;
  ba?: { length_scale?: boolean; distance?: { metric: 'manhattan'; slopes: number[]; start: number } };
}

async function f32(file: Awaited<ReturnType<typeof openCheckpoint>>, name: string): Promise<Float32Array> {
  return new Float32Array((await file.read(name)).buffer);
}

async function loadEncoder(
  name: string,
  device: Device,
  dtype: ComputeDType,
): Promise<{ session: Session; config: SamConfig }> {
  const file = await openSamCheckpoint(path.join(FIXTURES, `${name}.safetensors`));
  const session = new Session({ device });
  await loadWeights(file, session, dtype);
  await file.close();
  return { session, config: file.config };
}

/** Declares the tests. */
export function encoderSuite({ device, dtypes, tolerance, timeout = 60_000 }: EncoderSuite): void {
  describe.each(['d64', 'd80', 'coefficient'])('golden encoder %s', (name) => {
    const meta = JSON.parse(readFileSync(path.join(FIXTURES, `${name}.json`), 'utf8')) as {
      config: { heads: number; window: number; depth: number; global_blocks: number[]; trained_grid: number };
      cases: GoldenCase[];
    };
    let expected: Awaited<ReturnType<typeof openCheckpoint>>;
    beforeAll(async () => {
      expected = await openCheckpoint(path.join(FIXTURES, `${name}.expected.safetensors`));
    });
    afterAll(() => expected.close());

    describe.each(dtypes)('%s', (dtype) => {
      let model: Awaited<ReturnType<typeof loadEncoder>>;
      beforeAll(async () => {
        model = await loadEncoder(name, device, dtype);
      }, timeout);
      afterAll(() => model.session.dispose());

      it('infers the configuration', () => {
        const { heads, window, depth, globalBlocks, trainedGrid } = model.config;
        expect({ heads, window, depth, global_blocks: globalBlocks, trained_grid: trainedGrid }).toEqual(
          expect.objectContaining({
            heads: meta.config.heads,
            window: meta.config.window,
            depth: meta.config.depth,
            global_blocks: meta.config.global_blocks,
            trained_grid: meta.config.trained_grid,
          }),
        );
      });

      it.each(meta.cases.map((c) => [c.key, c] as const))('%s', { timeout }, async (key, c) => {
        const { config, session } = model;
        const settings = resolveSettings(
          { lengthScale: c.ba?.length_scale, distance: c.ba?.distance },
          attentionOf(config),
        );
        const grid = { h: c.height / config.patch, w: c.width / config.patch };
        const taps = ['embed', ...Array.from({ length: config.depth }, (_, i) => `block${i}`)].filter((tap) =>
          expected.tensors.has(`${key}.${tap}`),
        );
        const outputs = await session.run(
          key,
          () => imageEncoder(config, { batch: 1, grid, settings, dtype, taps }),
          [goldenImage(c)],
        );
        for (const [i, suffix] of ['', ...taps.map((tap) => `.${tap}`)].entries()) {
          const actual = outputs[i] as Float32Array;
          const wanted = await f32(expected, key + suffix);
          expect(actual.length).toBe(wanted.length);
          if (dtype === 'f32')
            expect(largestRelativeError(actual, wanted)).toBeLessThanOrEqual(tolerance.f32);
          else expect(relativeL2(actual, wanted)).toBeLessThanOrEqual(tolerance.half);
        }
      });
    });
  });
}
