// Counts of operations: against numbers worked out by hand, and against the graphs that are run.
import { describe, expect, it } from 'vitest';
import { encoderOnly, samConfig } from '../../lib/bench/models';
import { attentionOperations, decoderOperations, encoderOperations } from '../../lib/bench/operations';
import type { Graph, Value } from '../../lib/graph/graph';
import { OP_NAMES } from '../../lib/graph/ops';
import { resolveSettings } from '../../lib/model/ba-sam';
import { SAM_DECODER } from '../../lib/model/decoder/config';
import { maskDecoder } from '../../lib/model/decoder/mask-decoder';
import { attentionOf, imageEncoder } from '../../lib/model/families';

interface Node {
  readonly op: number;
  readonly inputs: readonly (Value | undefined)[];
  readonly attributes: readonly number[];
  readonly output: Value;
}

const elements = ({ shape }: Value) => shape.reduce((a, b) => a * b, 1);

/** Multiply-adds × 2 of every product in a graph, from the shapes of its values. */
function countGraph(graph: Graph): number {
  const { nodes } = graph as unknown as { nodes: readonly Node[] };
  return nodes.reduce((sum, { op, inputs, attributes, output }) => {
    const [a, b] = inputs as [Value, Value];
    const channels = a.shape.at(-1)!;
    switch (OP_NAMES[op]) {
      case 'linear':
      case 'matmul':
        return sum + 2 * elements(output) * channels;
      case 'conv2d':
      case 'patchEmbed':
        return sum + 2 * elements(output) * (elements(b) / b.shape[0]);
      case 'convTranspose2d':
        return sum + 2 * elements(a) * (elements(b) / b.shape[0]);
      case 'attention':
        return sum + 4 * elements(output) * (elements(b) / b.shape[0] / channels);
      case 'gridAttention': {
        const [, h, w] = a.shape;
        return sum + 4 * elements(output) * (attributes[1] === 0 ? h * w : attributes[1] ** 2);
      }
      default:
        return sum;
    }
  }, 0);
}

describe('attention', () => {
  it('over all tokens: 4 · 4096² · 768', () => {
    const layer = { tokens: 4096, heads: 12, headDim: 64, window: null };
    expect(attentionOperations(layer)).toBe(51_539_607_552);
  });
  it('in windows: 4 · 4096 · 196 · 1280', () => {
    const layer = { tokens: 4096, heads: 16, headDim: 80, window: 14 };
    expect(attentionOperations(layer)).toBe(4_110_417_920);
  });
});

describe('encoder', () => {
  // ViT-B: 12 · 24 · 768² + 2 · 768 · 768 + 2 · 768 · 256 + 18 · 256² = 172 621 824 per token, × 4096 = 707 058 991 104;
  // 4 global layers of 51 539 607 552, 8 windowed ones of 2 466 250 752.
  // ViT-H: 1 262 092 288 per token; 4 global layers of 85 899 345 920, 28 windowed ones of 4 110 417 920.
  it.each([
    ['vit-b', 1024, 932_947_427_328],
    ['vit-h', 1024, 5_628_219_097_088],
    // 4 times the tokens of 1024: products and windows × 4, global layers × 16.
    ['vit-b', 2048, 4 * (707_058_991_104 + 8 * 2_466_250_752) + 64 * 51_539_607_552],
  ] as const)('%s at %i px', (name, size, expected) => {
    expect(encoderOperations(samConfig(name), (size / 16) ** 2)).toBe(expected);
  });

  it.each(['vit-b', 'vit-l', 'vit-h'] as const)('%s: as its graph says', (name) => {
    const config = encoderOnly(samConfig(name));
    const settings = resolveSettings({}, attentionOf(config));
    const graph = imageEncoder(config, { batch: 1, grid: { h: 40, w: 24 }, settings, dtype: 'f32' });
    expect(encoderOperations(config, 40 * 24)).toBe(countGraph(graph));
  });
});

describe('decoder', () => {
  it('one point on 64 × 64', () => {
    // T = 7 tokens, N = 4096 cells. Per layer: self attention 4 · 2 · 7 · 256² + 4 · 7² · 256 = 3 720 192; to the image
    // 2 · 2 · 7 · 256 · 128 + 2 · 2 · 4096 · 256 · 128 + 4 · 7 · 4096 · 128 = 552 468 480; MLP 4 · 7 · 256 · 2048 =
    // 14 680 064; back 552 468 480. Then once more to the image, the upscaling 536 870 912 + 268 435 456, the mask
    // 278 528 + 4 194 304, the score 264 192.
    const layer = 3_720_192 + 552_468_480 + 14_680_064 + 552_468_480;
    const once = 552_468_480 + 536_870_912 + 268_435_456 + 278_528 + 4_194_304 + 264_192;
    const work = { cells: 4096, prompts: 1, tokens: 2, maskPrompt: false };
    expect(decoderOperations(SAM_DECODER, work)).toBe(2 * layer + once);
  });

  it.each([
    [1, false, false],
    [5, false, false],
    [1, false, true],
    [5, false, true],
    [1, true, false],
    [3, true, false],
  ])(
    '%i prompts, with masks %s, image tokens kept %s: as its graph says',
    (prompts, maskPrompt, imageTokens) => {
      const grid = { h: 12, w: 20 };
      const input = { width: 320, height: 192 };
      const graph = maskDecoder(SAM_DECODER, {
        ...{ grid, input, prompts, tokens: 3, maskPrompt, multimask: false, imageTokens },
      });
      const work = { cells: 240, prompts, tokens: 3, maskPrompt, imageTokens };
      expect(decoderOperations(SAM_DECODER, work)).toBe(countGraph(graph));
    },
  );
});
