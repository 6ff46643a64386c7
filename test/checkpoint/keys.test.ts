// Key names: every supported naming ends at the official one, and what is not a SAM is named.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint';
import { openSamCheckpoint, type SamCheckpoint } from '../../lib/checkpoint/keys';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors';
import { modelTensors } from '../../lib/model/config';
import type { CheckpointOptions } from '../../lib/options/checkpoint';
import { fixtures, Scratch } from './helpers';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const names: Record<string, string> = JSON.parse(readFileSync(join(fixtures, 'hf-names.json'), 'utf8'));

/** Names of tensors of models that are no SAM, or more than one: without biases and the like, and with the first of what is numbered. */
const relatives: Record<string, string[]> = JSON.parse(
  readFileSync(join(fixtures, 'relatives.json'), 'utf8'),
);

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

/**
 * A checkpoint with these names. What ends like a tensor of the small model has its shape, everything else one element.
 *
 * @param plain the names to compare where others are in the way
 */
async function withNames(list: readonly string[], plain = list): Promise<string> {
  const path = scratch.path('names.safetensors');
  const known = list.some((name) => name.endsWith('embed.projection.weight'))
    ? shapes.huggingface
    : shapes.official;
  const tensors = list.map((name, index) => {
    const parts = plain[index]!.split('.');
    const key = parts.map((_, i) => parts.slice(i).join('.')).find((end) => known.has(end));
    const shape = known.get(key ?? '') ?? [1];
    return { name, dtype: 'f32' as const, shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) };
  });
  await writeSafetensors(path, tensors);
  return path;
}

async function using<T>(
  path: string,
  body: (checkpoint: SamCheckpoint) => Promise<T> | T,
  options?: CheckpointOptions,
): Promise<T> {
  const checkpoint = await openSamCheckpoint(path, options);
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

  test.each<[string, RegExp, string]>([
    ['DataParallel around the encoder', /^image_encoder\./, '$&module.'],
    ['torch.compile of encoder and decoder', /^(image_encoder|mask_decoder)\./, '$&_orig_mod.'],
    ['torch.compile of every block', /^image_encoder\.blocks\.\d+\./, '$&_orig_mod.'],
    ['torch.compile of single layers', /(patch_embed\.|attn\.qkv\.|layers\.\d\.)/, '$&_orig_mod.'],
    ['FSDP inside of DataParallel', /^(\w+)\./, '$1.module._fsdp_wrapped_module.'],
    ['activation checkpointing', /(blocks\.\d+\.)/, '$&_checkpoint_wrapped_module.'],
  ])('wrapped in parts: %s', async (_, place, wrapped) => {
    for (const [prefix, list] of [
      ['', Object.values(names)],
      ['state_dict.module.', Object.values(names)],
      ['', official],
    ] as const) {
      const path = await withNames(
        list.map((name) => prefix + name.replace(place, wrapped)),
        list,
      );
      await using(path, (checkpoint) => {
        expect(checkpoint.prefix).toBe(prefix);
        expect([...checkpoint.tensors.keys()].sort()).toEqual([...list].sort());
        expect(checkpoint.ignored).toEqual([]);
        expect(checkpoint.sourceName(list[0]!)).toBe(prefix + list[0]!.replace(place, wrapped));
      });
    }
  });

  test('a tensor with and without a wrapper is a contradiction; one below a wrapper may be unknown', async () => {
    const twice = [...official, 'image_encoder.module.patch_embed.proj.weight'];
    await expect(openSamCheckpoint(await withNames(twice))).rejects.toThrow(
      /^.*"image_encoder\.(module\.)?patch_embed\.proj\.weight" and .* both stand for image_encoder\.patch_embed/,
    );
    const unknown = official.map((name) => name.replace('image_encoder.', '$&module.'));
    await expect(
      openSamCheckpoint(await withNames([...unknown, 'image_encoder.module.adapter.weight'])),
    ).rejects.toThrow(/found 1 tensor that SAM does not have, first "image_encoder\.module\.adapter/);
  });

  test('every key of a whole model is known', async () => {
    await using(join(fixtures, 'official.pth'), (checkpoint) => {
      expect(checkpoint.ignored).toEqual([]);
      const list = modelTensors(checkpoint.config).map(({ name }) => name);
      expect([...checkpoint.tensors.keys()].sort()).toEqual(list.sort());
    });
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
    const path = await withNames(list);
    await expect(openSamCheckpoint(path)).rejects.toThrow(
      /found 1 tensor that SAM does not have, first "image_enc/,
    );
    await using(path, ({ ignored, unknown }) => expect([ignored.length, unknown.length]).toEqual([3, 1]), {
      ignoreUnknownTensors: true,
    });
  });
});

describe('tensors below the parts of a model that it does not use', () => {
  const whole = Object.values(names);
  const fromDecoder = [
    'mask_decoder.some_token.weight',
    'mask_decoder.output_hypernetworks_mlps.4.layers.0.weight',
  ];

  test.each<[string, readonly string[], readonly string[]]>([
    ['a whole model', whole, ['image_encoder.neck.0.bias', 'prompt_encoder.x', ...fromDecoder]],
    [
      'an encoder, with pieces of another decoder',
      official,
      [
        'image_encoder.blocks.0.attn.more.weight',
        'image_encoder.blocks.00.norm1.weight',
        'mask_decoder.token.weight',
      ],
    ],
    [
      'below a prefix',
      whole.map((name) => `model.${name}`),
      ['model.image_encoder.blocks.99999.norm1.weight'],
    ],
    ['Hugging Face', Object.keys(names), ['vision_encoder.layers.0.more', 'shared_image_embedding.more']],
    ['an encoder without its name', encoder, ['blocks.0.more.weight', 'neck.4.weight']],
    ['below a prefix without its name', encoder.map((name) => `net.${name}`), ['net.blocks.1.attn.more']],
  ])('%s: refused, unless they are to be ignored', async (_, list, unknown) => {
    const others = ['pixel_mean', 'optimizer.state.0', 'ema.image_encoder.more', 'image_encoder_extra'];
    const path = await withNames([...list, ...unknown, ...others]);
    const first = [...unknown].sort()[0];
    const count = unknown.length === 1 ? '1 tensor' : `${unknown.length} tensors`;
    await expect(openSamCheckpoint(path)).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
      message:
        `${path}: expected SAM's tensors alone in its parts but found ${count} that SAM does not have, first ` +
        `"${first}"; ignoreUnknownTensors (--ignore-unknown) loads it as plain SAM without them, which may give other masks`,
    });
    await using(
      path,
      (checkpoint) => {
        expect(checkpoint.tensors.size).toBe(list.length);
        expect([...checkpoint.unknown].sort()).toEqual([...unknown].sort());
        expect([...checkpoint.ignored].sort()).toEqual([...unknown, ...others].sort());
      },
      { ignoreUnknownTensors: true },
    );
    await using(await withNames([...list, ...others]), (checkpoint) => {
      expect([checkpoint.ignored.length, checkpoint.unknown]).toEqual([others.length, []]);
    });
  });

  test.each<[string, string, readonly string[]]>([
    [
      'loralib',
      'a SAM with LoRA layers that are not merged',
      [...whole, 'image_encoder.blocks.0.attn.qkv.lora_A', 'image_encoder.blocks.0.attn.qkv.lora_B'],
    ],
    [
      'adapters',
      'a SAM with adapters',
      [
        ...whole,
        'image_encoder.blocks.0.MLP_Adapter.D_fc1.weight',
        'image_encoder.blocks.0.Space_Adapter.D_fc1.bias',
      ],
    ],
    [
      'prompt generator',
      'a SAM with adapters',
      [...whole, 'image_encoder.prompt_generator.shared_mlp.weight'],
    ],
  ])('%s is named', async (_, what, list) => {
    const path = await withNames(list);
    await expect(openSamCheckpoint(path)).rejects.toThrow(
      new RegExp(
        `is ${what}.*; it has \\d+ tensors? that SAM does not have, first "[^"]+"; ignoreUnknownTensors`,
      ),
    );
    await using(path, ({ unknown }) => expect(unknown.length).toBeGreaterThan(0), {
      ignoreUnknownTensors: true,
    });
  });

  test('options are checked before the file is opened', async () => {
    for (const options of [
      { ignoreUnknown: true },
      { ignoreUnknownTensors: 1 },
      { globalBlocks: [1, 1] },
      3,
    ]) {
      await expect(openSamCheckpoint('/nowhere', options as CheckpointOptions)).rejects.toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
      });
    }
  });
});

describe('other models are named', () => {
  test.each<[string, readonly string[], RegExp]>([
    [
      'MobileSAM',
      relatives.MobileSAM!,
      /is a MobileSAM checkpoint \(TinyViT image encoder\), .* not supported yet/,
    ],
    ['Light HQ-SAM', relatives['Light HQ-SAM']!, /is a MobileSAM checkpoint/],
    ['EdgeSAM', relatives.EdgeSAM!, /is an EdgeSAM or RepViT-SAM checkpoint/],
    ['EfficientSAM', relatives.EfficientSAM!, /is an EfficientSAM checkpoint/],
    [
      "EfficientSAM's encoder",
      relatives.EfficientSAM!.filter((name) => name.startsWith('image_')).map((name) => name.slice(14)),
      /is an EfficientSAM checkpoint/,
    ],
    [
      'EfficientViT-SAM',
      [
        'image_encoder.backbone.input_stem.op_list.0.conv.weight',
        'image_encoder.neck.middle.op_list.0.main.x',
      ],
      /is an EfficientViT-SAM checkpoint/,
    ],
    ["timm's samvit", encoder.map((name) => name.replace('mlp.lin', 'mlp.fc')), /is timm's samvit/],
    [
      'LoRA around the layers',
      official.flatMap((name) =>
        name.endsWith('.qkv.weight')
          ? ['base_layer.weight', 'lora_A.default.weight', 'lora_B.default.weight'].map((end) =>
              name.replace(/(?<=\.qkv\.).*/, end),
            )
          : [name],
      ),
      /LoRA layers that are not merged: merge them .*: expected image_encoder.blocks.0.attn.qkv.weight .* missing/,
    ],
    ['LoRA alone', ['w_a_000', 'w_b_000'], /LoRA layers that are not merged/],
    [
      'SAM 2',
      [
        'image_encoder.trunk.patch_embed.proj.weight',
        'image_encoder.trunk.blocks.0.mlp.layers.0.weight',
        'image_encoder.neck.convs.0.conv.weight',
        'sam_mask_decoder.iou_token.weight',
      ],
      /is a SAM 2 checkpoint/,
    ],
    [
      "SAM 2's encoder",
      ['trunk.patch_embed.proj.weight', 'trunk.blocks.0.mlp.layers.0.weight', 'neck.convs.0.conv.weight'],
      /is a SAM 2 checkpoint/,
    ],
    ['Sam2Model', relatives.Sam2Model!, /is a SAM 2 checkpoint/],
    ['Sam2VideoModel', relatives.Sam2VideoModel!, /is a SAM 2 checkpoint/],
    [
      'SAM 3',
      [
        'detector.backbone.vision_backbone.trunk.patch_embed.proj.weight',
        'detector.backbone.vision_backbone.trunk.blocks.0.attn.qkv.weight',
        'detector.backbone.language_backbone.resizer.weight',
        'tracker.sam_mask_decoder.iou_token.weight',
      ],
      /is a SAM 3 checkpoint/,
    ],
    ['Sam3Model', relatives.Sam3Model!, /is a SAM 3 checkpoint/],
    ['Sam3TrackerModel', relatives.Sam3TrackerModel!, /is a SAM 3 checkpoint/],
    ['Sam3VideoModel', relatives.Sam3VideoModel!, /is a SAM 3 checkpoint/],
    [
      'FastSAM',
      ['model.0.conv.weight', 'model.22.proto.cv1.conv.weight', 'model.22.cv4.0.0.conv.weight'],
      /is a FastSAM or YOLO segmentation checkpoint/,
    ],
    // One name alone says nothing.
    ['a name of SAM 2', ['image_encoder.trunk.x.weight'], /holds no SAM image encoder/],
    ['a name of SAM-HQ', ['mask_decoder.hf_token.weight'], /holds no SAM image encoder/],
    [
      'something else',
      ['layer1.weight', 'layer1.bias'],
      /holds no SAM image encoder: expected image_encoder\.patch_embed.* 2 other tensors such as "layer1/,
    ],
    ['nothing', [], /holds no tensors/],
  ])('%s', async (_, list, message) => {
    for (const wrapper of ['', 'model.', 'state_dict.module.']) {
      const path = await withNames(list.map((name) => wrapper + name));
      for (const ignoreUnknownTensors of [false, true]) {
        const error = await openSamCheckpoint(path, { ignoreUnknownTensors }).catch((error) => error);
        expect(error).toMatchObject({ code: 'ERR_CHECKPOINT' });
        expect(error.message.replace(wrapper, '')).toMatch(message);
      }
    }
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
