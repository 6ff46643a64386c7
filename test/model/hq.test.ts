// SAM-HQ: masks as the code of its repository gives them, its embedding in files, and models that it does not go with.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Embedding, type Prompt, Sam } from '../../lib';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint';
import { openSamCheckpoint } from '../../lib/checkpoint/keys';
import { type TensorToWrite, writeSafetensors } from '../../lib/checkpoint/write-safetensors';
import { loadEmbedding } from '../../lib/cli/embeddings';
import type { EncodingOptions } from '../../lib/cli/settings';
import { temporaryFolder } from '../support/folder';

const fixtures = join(import.meta.dirname, '..', 'checkpoint', 'fixtures');
const HQ = join(fixtures, 'hq.safetensors');
const folder = temporaryFolder();

interface Expected {
  readonly score: number;
  /** [20, 20] */
  readonly lowRes: readonly number[];
}
/** Of write_hq in make_fixtures.py. */
const expected: Record<string, { single: Expected; best: Expected }> = JSON.parse(
  readFileSync(join(fixtures, 'hq.expected.json'), 'utf8'),
);
const side = 20;
const pixelValues = Float32Array.from(
  { length: 3 * side * side },
  (_, i) => (((i * 7919) % 1009) / 1009) * 4 - 2,
);
const shape = [1, 3, side, side] as const;
const points: Prompt = {
  points: [
    [4, 7, 1],
    [12, 3, 0],
  ],
};
const prompts: Record<string, Prompt> = {
  points,
  box: { box: [2, 3, 15, 17] },
  mask: { ...points, mask: Float32Array.from({ length: side * side }, (_, i) => ((i * 31) % 17) - 8) },
};

let sam: Sam;
let embedding: Embedding;
beforeAll(async () => {
  sam = await Sam.load(HQ, { device: 'cpu' });
  embedding = await sam.encode({ pixelValues, shape });
});
afterAll(() => sam.dispose());

function close({ score, lowRes }: { score: number; lowRes: Float32Array }, wanted: Expected): void {
  const scale = Math.sqrt(
    wanted.lowRes.reduce((sum, value) => sum + value * value, 0) / wanted.lowRes.length,
  );
  expect(lowRes.length).toBe(wanted.lowRes.length);
  const error = wanted.lowRes.reduce((max, value, i) => Math.max(max, Math.abs(value - lowRes[i]!)), 0);
  expect(error / scale).toBeLessThan(1e-4);
  expect(Math.abs(score - wanted.score)).toBeLessThan(1e-5);
}

describe('masks', () => {
  test.each(Object.keys(prompts))('of one prompt: %s', async (name) => {
    const single = await sam.predict(embedding, prompts[name]!, { fullSize: false });
    expect(single.masks).toHaveLength(1);
    close(single.best, expected[name]!.single);
    const { masks, best } = await sam.predict(embedding, prompts[name]!, {
      multimask: true,
      fullSize: false,
    });
    expect(masks).toHaveLength(3);
    close(best, expected[name]!.best);
  });

  test('of many prompts at once, and of one image of a batch', async () => {
    const names = ['points', 'box', 'points', 'mask'];
    const several = names.map((name) => prompts[name]!);
    const results = await sam.predict(embedding, several, { fullSize: false });
    for (const [i, name] of names.entries()) close(results[i]!.best, expected[name]!.single);

    const two = Float32Array.from({ length: 2 * pixelValues.length }, (_, i) =>
      i < pixelValues.length ? 0.5 : pixelValues[i - pixelValues.length]!,
    );
    const batch = await sam.encode({ pixelValues: two, shape: [2, 3, side, side] });
    expect(batch.hqFeatures).toHaveLength(2 * batch.data.length);
    close((await sam.predict(batch.at(1), points, { fullSize: false })).best, expected.points!.single);
  });
});

test('features that are not finite are not blamed on the model', async () => {
  const features = embedding.hqFeatures!.slice();
  features[5] = Number.NaN;
  const wrong = new Embedding(embedding.data, embedding.shape, embedding, features);
  await expect(sam.predict(wrong, prompts.box!)).rejects.toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
    message: 'Expected finite values for embedding.hqFeatures but received others',
  });
});

test('its tensors are all used, under the names of its repository and of transformers', async () => {
  const names: Record<string, string> = JSON.parse(readFileSync(join(fixtures, 'hf-names.json'), 'utf8'));
  const toHuggingFace = Object.fromEntries(Object.entries(names).map(([hf, official]) => [official, hf]));
  const added: Record<string, string> = {
    hf_token: 'hq_token',
    'hf_mlp.layers.0': 'hq_mask_mlp.proj_in',
    'hf_mlp.layers.1': 'hq_mask_mlp.layers.0',
    'hf_mlp.layers.2': 'hq_mask_mlp.proj_out',
    'compress_vit_feat.0': 'compress_vit_conv1',
    'compress_vit_feat.1': 'compress_vit_norm',
    'compress_vit_feat.3': 'compress_vit_conv2',
    'embedding_encoder.0': 'encoder_conv1',
    'embedding_encoder.1': 'encoder_norm',
    'embedding_encoder.3': 'encoder_conv2',
    'embedding_maskfeature.0': 'mask_conv1',
    'embedding_maskfeature.1': 'mask_norm',
    'embedding_maskfeature.3': 'mask_conv2',
  };
  const file = await openCheckpoint(HQ);
  const tensors: TensorToWrite[] = [];
  for (const { name, dtype, shape } of file.tensors.values()) {
    const [, module, end] = /^mask_decoder\.(.*)\.(weight|bias)$/.exec(name) ?? [];
    const renamed = added[module ?? ''];
    // The small model of the names has two blocks.
    const third = toHuggingFace[name.replace('blocks.2.', 'blocks.1.')]?.replace('layers.1.', 'layers.2.');
    const plain = name.includes('blocks.2.') ? third : toHuggingFace[name];
    const hf = renamed ? `mask_decoder.${renamed}.${end}` : plain;
    tensors.push({ name: hf!, dtype, shape, data: await file.read(name) });
  }
  await file.close();
  const path = join(folder, 'hf.safetensors');
  await writeSafetensors(path, tensors);
  const [official, huggingface] = [await openSamCheckpoint(HQ), await openSamCheckpoint(path)];
  expect(official.ignored).toEqual([]);
  expect(huggingface.naming).toBe('huggingface');
  expect(huggingface.ignored).toEqual([]);
  expect(huggingface.config).toEqual(official.config);
  expect(official.config.decoder?.hq).toEqual({ earlyChannels: 24 });
  expect([...huggingface.tensors.keys()].sort()).toEqual([...official.tensors.keys()].sort());
  for (const name of official.tensors.keys()) {
    expect([name, await huggingface.read(name)]).toEqual([name, await official.read(name)]);
  }
  await Promise.all([official.close(), huggingface.close()]);
});

describe('an embedding', () => {
  test('is the same after saving and loading', async () => {
    const path = join(folder, 'embedding.safetensors');
    await embedding.save(path);
    const loaded = await Embedding.load(path);
    expect(loaded.hqFeatures).toEqual(embedding.hqFeatures);
    close((await sam.predict(loaded, points, { fullSize: false })).best, expected.points!.single);
  });

  test('of another shape, or without the features, is refused', async () => {
    const { data, shape } = embedding;
    expect(() => new Embedding(data, shape, embedding, new Float32Array(3))).toThrow(
      /values .* for hqFeatures/,
    );
    await expect(sam.predict(new Embedding(data, shape, embedding), points)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(/features of SAM-HQ/),
    });
    const plain = join(folder, 'plain.safetensors');
    await new Embedding(data, shape, embedding).save(plain);
    const flags = {} as EncodingOptions;
    await expect(loadEmbedding(plain, embedding.image, sam.config, flags, {})).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(/plain\.safetensors: Expected the features of SAM-HQ/),
    });
    const path = join(folder, 'broken.safetensors');
    await embedding.save(path);
    const file = await openCheckpoint(path);
    const image = { name: 'image_embeddings', dtype: 'f32', shape, data } as const;
    for (const hqShape of [[1, 20, 20, 1], [800], [1, 20, 10, 4]]) {
      const values = new Float32Array(hqShape.reduce((a, b) => a * b));
      await writeSafetensors(
        path,
        [image, { name: 'hq_features', dtype: 'f32', shape: hqShape, data: values }],
        file.metadata,
      );
      await expect(Embedding.load(path)).rejects.toMatchObject({
        code: 'ERR_EMBEDDING',
        message: expect.stringMatching(/expected hq_features as f32 \[1, 20, 20, 2\] but found f32/),
      });
    }
    await file.close();
  });
});

describe('a model that is not whole is refused', () => {
  const without = async (change: (tensors: TensorToWrite[]) => TensorToWrite[]) => {
    const file = await openCheckpoint(HQ);
    const tensors: TensorToWrite[] = [];
    for (const { name, dtype, shape } of file.tensors.values()) {
      tensors.push({ name, dtype, shape, data: await file.read(name) });
    }
    await file.close();
    const path = join(folder, 'changed.safetensors');
    await writeSafetensors(path, change(tensors));
    return openSamCheckpoint(path).then(
      (file) => file.close(),
      (error) => error,
    );
  };

  test('one of its tensors is missing', async () => {
    const file = await openCheckpoint(HQ);
    const added = [...file.tensors.keys()].filter((name) =>
      /\.(hf_|compress_vit_feat|embedding_(encoder|maskfeature))/.test(name),
    );
    await file.close();
    expect(added).toHaveLength(25);
    for (const missing of added) {
      const error = await without((tensors) => tensors.filter(({ name }) => name !== missing));
      const token = missing.endsWith('hf_token.weight');
      expect(error.message).toMatch(token ? /found 24 tensors that SAM does not have/ : new RegExp(missing));
      expect(error.code).toBe('ERR_CHECKPOINT');
    }
  });

  test('its encoder is of another width', async () => {
    const error = await without((tensors) =>
      tensors.map((tensor) =>
        tensor.name === 'mask_decoder.compress_vit_feat.0.weight'
          ? { ...tensor, shape: [12, 16, 2, 2], data: tensor.data.subarray(0, 12 * 16 * 4 * 2) as Uint8Array }
          : tensor,
      ),
    );
    expect(error.message).toMatch(
      /compress_vit_feat.* for the 12 channels .* but the image encoder has blocks of 24/,
    );
  });
});
