// inferConfig: the official variants from shapes alone, every tensor checked, absurd and ambiguous models.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encoderOnly as encoderOf, samConfig } from '../../lib/bench/models';
import type { CheckpointDType, TensorInfo } from '../../lib/checkpoint/checkpoint';
import { openSamCheckpoint } from '../../lib/checkpoint/keys';
import { SamError } from '../../lib/errors';
import { inferConfig, modelTensors, type SamConfig } from '../../lib/model/config';
import { fixtures } from './helpers';

const vitB = samConfig('vit-b');
const vitL = samConfig('vit-l');
const vitH = samConfig('vit-h');
const encoderOnly = encoderOf(vitB);

type Change = (tensors: Map<string, TensorInfo>) => void;

function checkpoint(config: SamConfig, change: Change = () => {}) {
  const tensors = new Map<string, TensorInfo>();
  for (const { name, shape } of modelTensors(config)) tensors.set(name, info(name, shape));
  change(tensors);
  return { path: 'sam.pth', tensors };
}

function info(name: string, shape: readonly number[], dtype: CheckpointDType = 'f32'): TensorInfo {
  return { name, dtype, shape, byteLength: 0 };
}

const set =
  (name: string, ...shape: number[]): Change =>
  (tensors) =>
    tensors.set(name, info(name, shape));

function refused(config: SamConfig, change: Change): string {
  try {
    inferConfig(checkpoint(config, change));
  } catch (error) {
    expect(error).toBeInstanceOf(SamError);
    expect((error as SamError).code).toBe('ERR_CHECKPOINT');
    expect((error as SamError).message).toMatch(/^sam\.pth: /);
    return (error as SamError).message;
  }
  throw new Error('expected a refusal');
}

describe('models', () => {
  test.each([
    ['ViT-B', vitB, 91],
    ['ViT-L', vitL, 308],
    ['ViT-H', vitH, 636],
  ])('%s has its number of parameters and is recognised', (_, config, millions) => {
    const parameters = modelTensors(config)
      .filter(({ name }) => name.startsWith('image_encoder.'))
      .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    // The published numbers are those of the encoder, rounded.
    expect(Math.abs(parameters / 1e6 - millions)).toBeLessThan(2);
    expect(inferConfig(checkpoint(config))).toEqual(config);
  });

  test('encoder only, BA-SAM with coefficients, all-windowed, odd sizes', () => {
    for (const config of [
      encoderOnly,
      { ...encoderOnly, hasPosEmbed: false, hasCoefficient: true },
      { ...encoderOnly, globalBlocks: [] },
      { ...encoderOnly, patch: 8, trainedSide_px: 512 },
      { ...vitB, depth: 1, globalBlocks: [0], globalBlocksFrom: 'depth' as const, window: 64 },
      {
        ...vitB,
        decoder: { ...vitB.decoder!, depth: 3, maskTokens: 2, maskChannels: 32, iouDim: 64, mlpDim: 100 },
      },
    ]) {
      expect(inferConfig(checkpoint(config))).toEqual(config);
    }
  });

  test('a window larger than the grid of training', () => {
    const config = { ...encoderOnly, trainedGrid: 8, trainedSide_px: 128 };
    expect(inferConfig(checkpoint(config))).toEqual(config);
  });

  describe('a window equal to the grid, as of SAM fine-tuned at 224 px: no tensor tells the global blocks', () => {
    const small = { ...encoderOnly, trainedGrid: 14, trainedSide_px: 224 };

    test.each([
      [12, [2, 5, 8, 11]],
      [24, [5, 11, 17, 23]],
      [32, [7, 15, 23, 31]],
      [6, [1, 2, 4, 5]],
      [3, [0, 1, 2]],
      [1, [0]],
    ])('of %i blocks they are SAM’s: %j', (depth, globalBlocks) => {
      for (const hasPosEmbed of [true, false]) {
        const config = { ...small, depth, globalBlocks, hasPosEmbed };
        expect(inferConfig(checkpoint(config))).toEqual({ ...config, globalBlocksFrom: 'depth' });
      }
    });

    test.each([[[11, 3]], [[]], [[...Array(12).keys()]]])('unless they are said to be %j', (globalBlocks) => {
      expect(inferConfig(checkpoint(small), { globalBlocks })).toEqual({
        ...small,
        globalBlocks: [...globalBlocks].sort((a, b) => a - b),
        globalBlocksFrom: 'option',
      });
    });

    test('blocks that the model does not have, and what contradicts the tensors', () => {
      const wrong = (config: SamConfig, globalBlocks: readonly number[]) => {
        try {
          return inferConfig(checkpoint(config), { globalBlocks });
        } catch (error) {
          return error;
        }
      };
      expect(wrong(small, [2, 12])).toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
        message:
          "Expected indices of the model's 12 blocks for globalBlocks but received [2,12] of type array",
      });
      expect(wrong(vitB, [2, 5, 8])).toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
        message: expect.stringMatching(
          /^Expected what the model's tensors tell, 2, 5, 8, 11, or nothing for globalB/,
        ),
      });
      expect(wrong(vitB, [11, 8, 5, 2])).toEqual(vitB);
      const windowed = { ...encoderOnly, globalBlocks: [] };
      expect(wrong(windowed, [])).toEqual(windowed);
      expect(wrong(windowed, [0])).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    });
  });

  test('a scalar coefficient, half precision and extra tensors are fine', () => {
    const config = { ...encoderOnly, hasCoefficient: true };
    const found = inferConfig(
      checkpoint(config, (tensors) => {
        set('image_encoder.blocks.3.attn.coefficient')(tensors);
        for (const [name, { shape }] of tensors)
          tensors.set(name, info(name, shape, name.endsWith('bias') ? 'bf16' : 'f16'));
        tensors.set('image_encoder.adapter', info('image_encoder.adapter', [-1], 'i64'));
      }),
    );
    expect(found).toEqual(config);
  });

  test('fixtures', async () => {
    const file = await openSamCheckpoint(join(fixtures, 'official.pth'));
    expect(inferConfig(file)).toEqual({
      ...vitB,
      ...{ patch: 4, width: 16, heads: 2, headDim: 8, depth: 2, mlpDim: 24, window: 3, globalBlocks: [1] },
      ...{ trainedGrid: 5, trainedSide_px: 20, outChannels: 16 },
      decoder: { dim: 16, depth: 2, heads: 8, mlpDim: 20, maskTokens: 4, maskChannels: 8, iouDim: 12 },
    });
    await file.close();
  });

  test.each(['d64', 'd80', 'coefficient'])('golden %s', async (name) => {
    const path = join(import.meta.dirname, '..', 'fixtures', 'golden', `${name}.safetensors`);
    if (!existsSync(path)) return;
    const file = await openSamCheckpoint(path);
    const config = inferConfig(file);
    expect(file.ignored).toEqual([]);
    expect([
      config.heads,
      config.headDim,
      config.depth,
      config.window,
      config.trainedGrid,
      config.globalBlocks,
    ]).toEqual(
      { d64: [2, 64, 3, 7, 16, [1, 2]], d80: [2, 80, 2, 14, 20, [1]], coefficient: [4, 16, 3, 7, 16, [2]] }[
        name
      ],
    );
    expect(config.hasCoefficient).toBe(name === 'coefficient');
    await file.close();
  });
});

describe('every needed tensor is checked', () => {
  test('missing, another shape, another rank, another dtype', () => {
    for (const { name, shape } of modelTensors(vitB)) {
      // Without pos_embed it would be another valid model.
      if (!name.endsWith('pos_embed'))
        expect(refused(vitB, (tensors) => tensors.delete(name))).toContain(
          name.includes('rel_pos') ? 'rel_pos' : name,
        );
      expect(refused(vitB, set(name, ...shape, 1))).toContain(name);
      expect(refused(vitB, set(name))).toContain(name);
      expect(refused(vitB, set(name, ...shape.slice(0, -1), 0))).toContain(name);
      const wrong: Change = (tensors) => tensors.set(name, info(name, shape, 'i64'));
      expect(refused(vitB, wrong)).toContain(`${name} of dtype f32, f16 or bf16 but found i64`);
      refused(vitB, set(name, ...shape.slice(0, -1), shape.at(-1)! + 1));
    }
  });

  test('the wording', () => {
    const qkv = 'image_encoder.blocks.3.attn.qkv.weight';
    expect(refused(vitB, set(qkv, 2304, 512))).toBe(
      `sam.pth: expected ${qkv} of shape [2304, 768] but found [2304, 512]`,
    );
    expect(refused(vitB, (t) => t.delete(qkv))).toBe(
      `sam.pth: expected ${qkv} of shape [2304, 768] but it is missing`,
    );
    const named = { ...checkpoint(vitB, set(qkv, 1)), sourceName: (name: string) => `hf.${name}` };
    expect(() => inferConfig(named)).toThrow(
      `expected ${qkv} (hf.${qkv} in the file) of shape [2304, 768] but found [1]`,
    );
  });

  test('a gap in the blocks, one table missing, one coefficient missing', () => {
    const gap: Change = (t) => {
      for (const name of t.keys()) if (name.startsWith('image_encoder.blocks.4.')) t.delete(name);
    };
    expect(refused(vitB, gap)).toMatch(/blocks\.4\..* missing/);
    expect(refused(vitB, (t) => t.delete('image_encoder.blocks.4.attn.rel_pos_h'))).toMatch(
      /blocks\.4\.attn\.rel_pos_h.* missing/,
    );
    const config = { ...encoderOnly, hasCoefficient: true };
    expect(refused(config, (t) => t.delete('image_encoder.blocks.0.attn.coefficient'))).toMatch(
      /blocks\.0\.attn\.coefficient.* missing/,
    );
    expect(refused(config, set('image_encoder.blocks.0.attn.coefficient', 12))).toMatch(
      /of shape \[1\] but found \[12\]/,
    );
  });

  test('half a decoder', () => {
    const noPrompt: Change = (t) => {
      for (const name of t.keys()) if (name.startsWith('prompt_encoder.')) t.delete(name);
    };
    expect(refused(vitB, noPrompt)).toMatch(/prompt_encoder\..* missing/);
    expect(refused(vitB, set('mask_decoder.iou_prediction_head.layers.3.weight', 4, 4))).toMatch(
      /MLPs of 3 layers/,
    );
  });
});

describe('models that cannot be', () => {
  const relPos: (shape: (i: number) => [number, number]) => Change = (shape) => (t) => {
    for (let i = 0; i < 12; i++) {
      for (const axis of 'hw') set(`image_encoder.blocks.${i}.attn.rel_pos_${axis}`, ...shape(i))(t);
    }
  };

  test('no relative position tables', () => {
    const none: Change = (t) => {
      for (const name of t.keys()) if (name.includes('rel_pos')) t.delete(name);
    };
    expect(refused(vitB, none)).toMatch(/number of attention heads cannot be inferred/);
  });

  test.each<[string, Change, RegExp]>([
    [
      'a head size that does not divide',
      relPos(() => [127, 65]),
      /head size that divides the 768 channels but found 65/,
    ],
    ['a head size above 256', relPos(() => [127, 384]), /head size between 1 and 256 but found 384/],
    ['an even table', relPos(() => [126, 64]), /odd number of rows but found 126/],
    [
      'three kinds of table',
      relPos((i) => [[127, 27, 15][i % 3]!, 64]),
      /\(windowed\) or \[127, 64\] \(global\) but found \[15, 64\]/,
    ],
    ['a window above 1024', relPos((i) => [i ? 2049 : 127, 64]), /window between 1 and 1024 but found 1025/],
    ['a head size of zero', relPos(() => [127, 0]), /rel_pos_h of shape/],
    [
      'a depth above 1000',
      set('image_encoder.blocks.5000.norm1.weight', 768),
      /at most 1000 of image_encoder\.blocks\.N but found 5001/,
    ],
    ['a decoder depth above 64', set('mask_decoder.transformer.layers.99.norm1.weight', 256), /at most 64/],
    [
      'a patch that is not square',
      set('image_encoder.patch_embed.proj.weight', 768, 3, 16, 8),
      /of shape \[C, 3, P, P\]/,
    ],
    [
      'four input channels',
      set('image_encoder.patch_embed.proj.weight', 768, 4, 16, 16),
      /of shape \[C, 3, P, P\]/,
    ],
    [
      'a patch above 256',
      set('image_encoder.patch_embed.proj.weight', 768, 3, 512, 512),
      /patch size between 1 and 256/,
    ],
    [
      'a width above 16384',
      set('image_encoder.patch_embed.proj.weight', 20000, 3, 16, 16),
      /width between 1 and 16384/,
    ],
    [
      'a position embedding that is not square',
      set('image_encoder.pos_embed', 1, 64, 32, 768),
      /\[1, grid, grid, 768\]/,
    ],
    [
      'a grid above 1024',
      set('image_encoder.pos_embed', 1, 2000, 2000, 768),
      /trained grid between 1 and 1024/,
    ],
    [
      'an MLP above the limit',
      set('image_encoder.blocks.0.mlp.lin1.weight', 2 ** 20, 768),
      /MLP size between/,
    ],
    [
      'too many output channels',
      set('image_encoder.neck.0.weight', 4096, 768, 1, 1),
      /output channels between 1 and 2048/,
    ],
    [
      'output channels that the decoder cannot split',
      set('image_encoder.neck.0.weight', 100, 768, 1, 1),
      /divisible by 16/,
    ],
    ['one mask token', set('mask_decoder.mask_tokens.weight', 1, 256), /mask tokens between 2 and 64/],
    [
      'mask channels not divisible by 4',
      set('prompt_encoder.mask_downscaling.3.weight', 18, 4, 2, 2),
      /divisible by 4/,
    ],
  ])('%s', (_, change, message) => {
    expect(refused(vitB, change)).toMatch(message);
  });

  test('nothing at all', () => {
    expect(() => inferConfig({ path: 'sam.pth', tensors: new Map() })).toThrow(
      /patch_embed\.proj\.weight but it is missing/,
    );
  });
});
