// The bundled model on drawn scenes: how far embeddings move from those in f32, and what becomes of the masks.
import { dist, mean, PROMPTS, progress, round } from '../study/library.mjs';
import { encodeOptions, forEachEmbedding } from '../study/measure.mjs';
import { relativeL2 } from './golden.mjs';

const { Sam } = dist('sam');
const { ZERO_SHOT } = dist('model/ba-sam');

function iou(a, b) {
  let both = 0;
  let either = 0;
  for (let i = 0; i < a.length; i++) {
    both += a[i] & b[i];
    either += a[i] | b[i];
  }
  return either === 0 ? 1 : both / either;
}

/** @returns rows { side, prompt, mode, iou, agreement, embedding_error }: means over the targets of all scenes */
export async function measureScenes(seeds, factors, modes) {
  const models = new Map();
  for (const [mode, options] of Object.entries(modes))
    models.set(mode, await Sam.load(undefined, { device: 'cpu', ...options }));
  const first = [...models.values()][0];
  const cells = new Map();
  const add = (key, values) => {
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(values);
  };
  const onScene = progress('scenes', seeds.length * factors.length);
  for (const factor of factors) {
    const settings = { scene: factor === 1 ? {} : ZERO_SHOT };
    await forEachEmbedding({ sam: first, seeds, factors: [factor], settings, onScene }, async (visit) => {
      const { side, truths, prompts, embedding, image } = visit;
      let reference;
      for (const [mode, sam] of models) {
        const own =
          mode === [...models.keys()][0]
            ? embedding
            : await sam.encode(image, encodeOptions(side, settings.scene));
        const masks = (await sam.predict(own, prompts)).map(({ best }) => best.data);
        reference ??= masks;
        for (const [i, mask] of masks.entries()) {
          const { truth } = truths[Math.floor(i / PROMPTS.length)];
          add(`${side}/${PROMPTS[i % PROMPTS.length]}/${mode}`, {
            iou: iou(mask, truth.data),
            agreement: iou(mask, reference[i]),
            embedding_error: relativeL2(own.data, embedding.data),
          });
        }
      }
    });
  }
  for (const sam of models.values()) await sam.dispose();
  return [...cells].map(([key, rows]) => {
    const [side, prompt, mode] = key.split('/');
    const of = (name) => mean(rows.map((row) => row[name]));
    return {
      ...{ side: Number(side), prompt, mode },
      ...{
        iou: round(of('iou')),
        agreement: round(of('agreement')),
        embedding_error: Number(of('embedding_error').toPrecision(3)),
      },
    };
  });
}
