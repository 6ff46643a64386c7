// Key names: every supported naming ends at the official one, and what is not a SAM is named.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint';
import { openSamCheckpoint, type SamCheckpoint } from '../../lib/checkpoint/keys';
import { writeSafetensors } from '../../lib/checkpoint/safetensors';
import { modelTensors } from '../../lib/model/config';
import { fixtures, Scratch } from './helpers';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const names: Record<string, string> = JSON.parse(readFileSync(join(fixtures, 'hf-names.json'), 'utf8'));

/** Older files have it as well as shared_image_embedding.positional_embedding. */
const tied = 'prompt_encoder.shared_embedding.positional_embedding';

/** Shapes of a whole small model by the names that its tensors have, with and without the encoder's section. */
const shapes = {
  official: new Map<string, readonly number[]>(),
  huggingface: new Map<string, readonly number[]>(),
};
beforeAll(async () => {
  const reference = await openSamCheckpoint(join(fixtures, 'official.pth'));
  for (const [name, key] of Object.entries({
    ...names,
    [tied]: names['shared_image_embedding.positional_embedding']!,
  })) {
    const { shape } = reference.tensors.get(key)!;
    const set = (map: Map<string, readonly number[]>, name: string) =>
      map.set(name, shape).set(name.replace(/^(vision|image)_encoder\./, ''), shape);
    set(shapes.official, key);
    set(shapes.huggingface, name);
  }
  await reference.close();
});

/** A checkpoint with these names. What ends like a tensor of the small model has its shape, everything else one element. */
async function withNames(list: readonly string[]): Promise<string> {
  const path = scratch.path('names.safetensors');
  const known = list.some((name) => name.endsWith('embed.projection.weight'))
    ? shapes.huggingface
    : shapes.official;
  const tensors = list.map((name) => {
    const parts = name.split('.');
    const key = parts.map((_, i) => parts.slice(i).join('.')).find((end) => known.has(end));
    const shape = known.get(key ?? '') ?? [1];
    return { name, dtype: 'f32' as const, shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) };
  });
  await writeSafetensors(path, tensors);
  return path;
}

async function using<T>(path: string, body: (checkpoint: SamCheckpoint) => Promise<T> | T): Promise<T> {
  const checkpoint = await openSamCheckpoint(path);
  try {
    return await body(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

const official = Object.values(names).filter((name) => name.startsWith('image_encoder.'));
const encoder = official.map((name) => name.slice('image_encoder.'.length));

describe('Hugging Face', () => {
  test('a SamModel of transformers has every official key, with the same bytes as the official file', async () => {
    await using(join(fixtures, 'hf-sam.safetensors'), async (hf) => {
      expect(hf.naming).toBe('huggingface');
      expect(hf.ignored).toEqual([]);
      expect(new Map([...hf.tensors.keys()].map((name) => [hf.sourceName(name), name]))).toEqual(
        new Map(Object.entries(names)),
      );
      await using(join(fixtures, 'official.pth'), async (reference) => {
        expect(reference.naming).toBe('official');
        expect([...reference.tensors.keys()].sort()).toEqual([...hf.tensors.keys()].sort());
        for (const [name, info] of hf.tensors) {
          expect(info).toEqual(reference.tensors.get(name));
          expect([name, await hf.read(name)]).toEqual([name, await reference.read(name)]);
        }
        expect(hf.config).toEqual(reference.config);
      });
    });
  });

  test('the position encoding under both of its names, as older files have it', async () => {
    const list = [...Object.keys(names), tied];
    await using(await withNames(list), (checkpoint) => {
      expect([...checkpoint.tensors.keys()].sort()).toEqual(Object.values(names).sort());
      expect(checkpoint.ignored).toEqual([]);
    });
    await using(await withNames(list.filter((name) => !name.startsWith('shared_image'))), (checkpoint) => {
      expect([...checkpoint.tensors.keys()].sort()).toEqual(Object.values(names).sort());
    });
  });

  test('wrapped, and only the vision encoder', async () => {
    for (const prefix of ['', 'module.', 'sam.', 'state_dict.model.']) {
      const list = Object.keys(names).map((name) => prefix + name);
      await using(await withNames(list), (checkpoint) => {
        expect(checkpoint.prefix).toBe(prefix);
        expect([...checkpoint.tensors.keys()].sort()).toEqual(Object.values(names).sort());
      });
    }
    const vision = Object.keys(names).filter((name) => name.startsWith('vision_encoder.'));
    for (const list of [vision, vision.map((name) => name.slice('vision_encoder.'.length))]) {
      await using(await withNames(list), (checkpoint) => {
        expect([...checkpoint.tensors.keys()].sort()).toEqual(vision.map((name) => names[name]).sort());
      });
    }
  });

  test('an MLP of four layers is refused, not silently shortened', async () => {
    const list = [...Object.keys(names), 'mask_decoder.iou_prediction_head.layers.1.weight'];
    await expect(openSamCheckpoint(await withNames(list))).rejects.toThrow(
      /both stand for .*layers\.2\.weight/,
    );
  });
});

describe('official names', () => {
  test("BA-SAM's released code: wrapped, with coefficients, without pos_embed", async () => {
    await using(join(fixtures, 'ba-sam.pth'), async (checkpoint) => {
      expect(checkpoint.prefix).toBe('state_dict.module.');
      expect(checkpoint.ignored).toEqual(['optimizer.state.0.momentum_buffer']);
      expect(checkpoint.config).toMatchObject({
        hasCoefficient: true,
        hasPosEmbed: false,
        hasDecoder: false,
        trainedGrid: 5,
        window: 3,
      });
      const value = await checkpoint.read('image_encoder.blocks.1.attn.coefficient');
      expect(new Float32Array(value.buffer)).toEqual(Float32Array.of(1.5));
      await expect(checkpoint.read('image_encoder.pos_embed')).rejects.toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
      });
    });
  });

  test.each([
    ['', official],
    ['module.', official],
    ['model.', official],
    ['sam.', official],
    ['_orig_mod.', official],
    ['model_state_dict.module._orig_mod.', official],
    ['anything.at.all.', official],
    ['', encoder],
    ['module.', encoder],
    ['backbone.', encoder],
  ])('prefix "%s"', async (prefix, list) => {
    await using(
      await withNames([...list.map((name) => prefix + name), 'optimizer.state.0', 'image_encoder_extra']),
      (checkpoint) => {
        expect([...checkpoint.tensors.keys()].sort()).toEqual([...official].sort());
        expect([...checkpoint.ignored].sort()).toEqual(['image_encoder_extra', 'optimizer.state.0']);
      },
    );
  });

  test('every key of a whole model is known', async () => {
    await using(join(fixtures, 'official.pth'), (checkpoint) => {
      expect(checkpoint.ignored).toEqual([]);
      const list = modelTensors(checkpoint.config).map(({ name }) => name);
      expect([...checkpoint.tensors.keys()].sort()).toEqual(list.sort());
    });
  });

  test('unknown keys are ignored and listed', async () => {
    const extra = [
      'image_encoder.blocks.0.attn.lora.weight',
      'mask_decoder.hf_token.weight',
      'pixel_mean',
      'image_encoder.blocks.00.norm1.weight',
    ];
    await using(await withNames([...official, ...extra]), (checkpoint) => {
      expect([...checkpoint.ignored].sort()).toEqual(extra.sort());
    });
  });

  test('what no graph of the model asks for is ignored, a foreign piece of a decoder too', async () => {
    const extra = [
      'image_encoder.neck.0.bias',
      'image_encoder.blocks.99999.norm1.weight',
      'image_encoder.blocks.7.lora.weight',
      'prompt_encoder.lora.weight',
      'mask_decoder.output_hypernetworks_mlps.4.layers.0.weight',
    ];
    for (const list of [official, Object.values(names)]) {
      await using(await withNames([...list, ...extra]), (checkpoint) => {
        expect([...checkpoint.tensors.keys()].sort()).toEqual([...list].sort());
        expect([...checkpoint.ignored].sort()).toEqual(extra.sort());
        expect(checkpoint.config.hasDecoder).toBe(list !== official);
      });
    }
  });

  test('a model without one of its tensors is refused when it is opened', async () => {
    const missing = 'image_encoder.blocks.1.mlp.lin2.bias';
    const path = await withNames(official.filter((name) => name !== missing));
    await expect(openSamCheckpoint(path)).rejects.toThrow(
      `expected ${missing} of shape [16] but it is missing`,
    );
  });

  test('several models: the usual wrapper wins, a tie is refused', async () => {
    const two = [...official.map((name) => `model_ema.${name}`), ...official.map((name) => `model.${name}`)];
    await using(await withNames(two), (checkpoint) => {
      expect(checkpoint.prefix).toBe('model.');
      expect(checkpoint.ignored).toHaveLength(official.length);
    });
    const tie = [...official.map((name) => `a.${name}`), ...official.map((name) => `b.${name}`)];
    await expect(openSamCheckpoint(await withNames(tie))).rejects.toThrow(/several models.*"a\." and "b\."/);
  });

  test('hostile names stay names', async () => {
    const list = [
      ...official,
      '__proto__',
      '__proto__.image_encoder.pos_embed',
      `image_encoder.blocks.${'9'.repeat(1000)}.norm1.weight`,
    ];
    await using(await withNames(list), (checkpoint) => expect(checkpoint.ignored).toHaveLength(3));
  });
});

describe('other models are named', () => {
  test.each<[string, string[], RegExp]>([
    [
      'MobileSAM',
      ['image_encoder.patch_embed.seq.0.c.weight', 'image_encoder.layers.0.blocks.0.conv1.c.weight'],
      /MobileSAM.*not supported yet/,
    ],
    ['SAM 2', ['image_encoder.trunk.patch_embed.projx.weight'], /SAM 2 checkpoint/],
    [
      'something else',
      ['layer1.weight', 'layer1.bias'],
      /holds no SAM image encoder: expected image_encoder\.patch_embed.* 2 other tensors such as "layer1/,
    ],
    ['nothing', [], /holds no tensors/],
  ])('%s', async (_, list, message) => {
    const path = await withNames(list);
    await expect(openSamCheckpoint(path)).rejects.toThrow(message);
    await expect(openSamCheckpoint(path)).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' });
  });

  test('a hundred thousand models', async () => {
    const list = Array.from({ length: 200 }, (_, i) => `m${i}.patch_embed.proj.weight`);
    await expect(openSamCheckpoint(await withNames(list))).rejects.toThrow(/more than 100 image encoders/);
  });

  test('a refused checkpoint is closed', async () => {
    const path = await withNames(['x']);
    const checkpoint = await openCheckpoint(path);
    await checkpoint.close();
    await expect(openSamCheckpoint(path)).rejects.toThrow();
  });
});
