// Writes graphs of the bundled model at small sizes, as the library encodes them: what the graph fuzzer starts from.
//   node scripts/write-graph-seeds.mjs FOLDER      needs dist/ (npm run build:ts)
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './native-sources.mjs';

/** @returns {Promise<number>} how many graphs there are */
export async function writeGraphSeeds(folder) {
  const { BUNDLED_MODEL, Graph, imageEncoder, imageTokens, maskDecoder, openSamCheckpoint, ops } =
    createRequire(import.meta.url)(path.join(root, 'dist/index.js'));
  const file = await openSamCheckpoint(BUNDLED_MODEL);
  const { config } = file;
  await file.close();
  // Two blocks, one global and one in windows, are all there is to see; few channels keep runs short.
  const small = { ...config, depth: 2, width: 24, heads: 3, headDim: 8, mlpDim: 32, outChannels: 16 };
  const tiny = {
    ...small,
    globalBlocks: [1],
    decoder: { ...config.decoder, dim: 16, mlpDim: 24, iouDim: 16 },
  };

  const graphs = {};
  const distances = { manhattan: 1, euclidean: 2, chebyshev: 0 };
  for (const dtype of ['f32', 'bf16']) {
    for (const [metric, start] of Object.entries(distances)) {
      const settings = {
        mode: 'paper',
        lengthScale: true,
        distance: { metric, start, slopes: [0.5, 0.25, 0.125] },
      };
      graphs[`encoder-${dtype}-${metric}`] = imageEncoder(tiny, {
        batch: 1,
        grid: { h: 3, w: 5 },
        settings,
        dtype,
      });
    }
    const settings = { mode: 'paper', lengthScale: false, distance: null };
    for (const pixels of ['normalised', 'photograph']) {
      const options = { batch: 2, grid: { h: 4, w: 4 }, settings, dtype, pixels };
      graphs[`encoder-${dtype}-${pixels}`] = imageEncoder(tiny, options);
    }
  }
  for (const [tokens, maskPrompt, multimask] of [
    [2, false, true],
    [3, true, false],
    [0, true, true],
  ]) {
    graphs[`decoder-${tokens}-${maskPrompt}`] = maskDecoder(tiny.decoder, {
      grid: { h: 3, w: 4 },
      input: { width: 64, height: 48 },
      prompts: 2,
      tokens,
      maskPrompt,
      multimask,
      imageTokens: tokens === 2,
    });
  }
  graphs['image-tokens'] = imageTokens(tiny.decoder, { h: 3, w: 4 });
  const upsample = new Graph();
  upsample.output(
    ops.upsampleMasks(upsample.input('low_res_logits', [1, 2, 8, 8]), {
      input: { width: 32, height: 32 },
      content: { width: 32, height: 20 },
      out: { width: 50, height: 31 },
    }),
  );
  graphs.upsample = upsample;

  mkdirSync(folder, { recursive: true });
  for (const [name, graph] of Object.entries(graphs)) {
    writeFileSync(path.join(folder, `${name}.bin`), graph.encode());
  }
  return Object.keys(graphs).length;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log(`${await writeGraphSeeds(process.argv[2])} graphs`);
