// The bundled model on drawn scenes: how far embeddings move from those in f32, and what becomes of the masks.
import type { Sam } from '../../lib/index.ts';
import { relativeL2 } from '../../test/support/compare.ts';
import { compiledLibrary, mean, PROMPTS, progress, round } from '../study/library.mts';
import { encodeOptions, forEachEmbedding, iou } from '../study/measure.mts';
import type { PromptName } from '../study/types.mts';
import type { Modes } from './golden.mts';

/** What is compared with each other: a size, a kind of prompt, a mode. */
interface Cell {
  readonly side: number;
  readonly prompt: PromptName;
  readonly mode: string;
}

interface Measures {
  /** With the truth. */
  readonly iou: number;
  /** IoU with the mask of the first mode. */
  readonly agreement: number;
  readonly embedding_error: number;
}

/** Means over the targets of all scenes. */
export type SceneMeans = Cell & Measures;

/** The same scenes and prompts in every mode; the first is what the others are compared with. */
export async function measureScenes(
  seeds: readonly number[],
  factors: readonly number[],
  modes: Modes,
): Promise<SceneMeans[]> {
  const { Sam, ZERO_SHOT } = compiledLibrary();
  const models = new Map<string, Sam>();
  for (const [mode, options] of Object.entries(modes))
    models.set(mode, await Sam.load(undefined, { device: 'cpu', ...options }));
  const first = [...models.values()][0];
  const rows = new Map<string, { readonly of: Cell; readonly values: Measures[] }>();
  const add = (of: Cell, values: Measures) => {
    const key = `${of.side}/${of.prompt}/${of.mode}`;
    const row = rows.get(key) ?? { of, values: [] };
    row.values.push(values);
    rows.set(key, row);
  };
  const onScene = progress('scenes', seeds.length * factors.length);
  for (const factor of factors) {
    const settings = { scene: factor === 1 ? {} : ZERO_SHOT };
    await forEachEmbedding({ sam: first, seeds, factors: [factor], settings, onScene }, async (visit) => {
      const { side, truths, prompts, embedding, image } = visit;
      let reference: readonly Uint8Array[] | undefined;
      for (const [mode, sam] of models) {
        const own =
          mode === [...models.keys()][0]
            ? embedding
            : await sam.encode(image, encodeOptions(side, settings.scene));
        const masks = (await sam.predict(own, prompts)).map(({ best }) => best.data);
        reference ??= masks;
        for (const [i, mask] of masks.entries()) {
          const { truth } = truths[Math.floor(i / PROMPTS.length)];
          add(
            { side, prompt: PROMPTS[i % PROMPTS.length], mode },
            {
              iou: iou(mask, truth.data),
              agreement: iou(mask, reference[i]),
              embedding_error: relativeL2(own.data, embedding.data),
            },
          );
        }
      }
    });
  }
  for (const sam of models.values()) await sam.dispose();
  return [...rows.values()].map(({ of, values }) => {
    const average = (name: keyof Measures) => mean(values.map((value) => value[name]));
    return {
      ...of,
      iou: round(average('iou')),
      agreement: round(average('agreement')),
      embedding_error: Number(average('embedding_error').toPrecision(3)),
    };
  });
}
