// Embeddings of a golden encoder in every mode against the float64 reference.
import path from 'node:path';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint.ts';
import type { DistancePenalty, LoadOptions } from '../../lib/index.ts';
import { relativeL2 } from '../../test/support/compare.ts';
import { goldenImage } from '../../test/support/golden.ts';
import { compiledLibrary, mean } from '../study/library.mts';

/** What is compared: options of `Sam.load`, by name. */
export type Modes = Readonly<Record<string, Pick<LoadOptions, 'dtype' | 'f8'>>>;

/** As test/reference/make_golden.py writes it. */
export interface GoldenCase {
  readonly key: string;
  readonly height: number;
  readonly width: number;
  readonly imageSeed: number;
  readonly ba?: { readonly length_scale?: boolean; readonly distance?: DistancePenalty };
}

/** Relative errors of a golden encoder's embeddings, by mode. */
export interface GoldenErrors {
  readonly name: string;
  readonly cases: number;
  readonly errors: Readonly<Record<string, { readonly mean: number; readonly largest: number }>>;
}

/** Embeddings of every case in every mode. @param folder of the golden files */
export async function measureGolden(
  name: string,
  folder: string,
  cases: readonly GoldenCase[],
  modes: Modes,
): Promise<GoldenErrors> {
  const expected = await openCheckpoint(path.join(folder, `${name}.expected.safetensors`));
  const { Sam } = compiledLibrary();
  const errors: Record<string, { mean: number; largest: number }> = {};
  for (const [mode, options] of Object.entries(modes)) {
    const sam = await Sam.load(path.join(folder, `${name}.safetensors`), { device: 'cpu', ...options });
    const all: number[] = [];
    for (const one of cases) {
      const { key, height, width, ba } = one;
      const pixels = { pixelValues: goldenImage(one), shape: [1, 3, height, width] as const };
      const settings = { lengthScale: ba?.length_scale, distance: ba?.distance };
      const { data } = await sam.encode(pixels, settings);
      all.push(relativeL2(data, new Float32Array((await expected.read(key)).buffer)));
    }
    await sam.dispose();
    errors[mode] = {
      mean: Number(mean(all).toPrecision(3)),
      largest: Number(Math.max(...all).toPrecision(3)),
    };
  }
  await expected.close();
  return { name, cases: cases.length, errors };
}
