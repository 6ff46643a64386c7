// Counts of operations, which are read off the graphs that are run: against numbers worked out by hand.
import { describe, expect, it } from 'vitest';
import { encoderOnly, samConfig } from '../../lib/bench/models';
import { Graph } from '../../lib/graph/graph';
import { resolveSettings } from '../../lib/model/ba-sam';
import { SAM_DECODER } from '../../lib/model/decoder/config';
import { imageTokens, maskDecoder } from '../../lib/model/decoder/mask-decoder';
import { attentionOf, imageEncoder } from '../../lib/model/families';
import { native } from '../../lib/native';
import { gridAttention } from '../../lib/ops';

const flopsOf = (graph: Graph) =>
  native()
    .graphFlops(graph.encode())
    .reduce((sum, flops) => sum + flops, 0);

describe('attention', () => {
  const layer = (heads: number, headDim: number, window: number) => {
    const graph = new Graph();
    const qkv = graph.input('qkv', [1, 64, 64, 3 * heads * headDim]);
    graph.output(gridAttention(qkv, { heads, scale: 1, window }));
    return flopsOf(graph);
  };
  it('over all tokens: 4 · 4096² · 768', () => {
    expect(layer(12, 64, 0)).toBe(51_539_607_552);
  });
  it('in windows: 4 · 4096 · 196 · 1280', () => {
    expect(layer(16, 80, 14)).toBe(4_110_417_920);
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
    const config = encoderOnly(samConfig(name));
    const settings = resolveSettings({}, attentionOf(config));
    const grid = { h: size / 16, w: size / 16 };
    expect(flopsOf(imageEncoder(config, { batch: 1, grid, settings, dtype: 'f32' }))).toBe(expected);
  });
});

describe('decoder', () => {
  // T = 7 tokens, N = 4096 cells. Per layer: self attention 4 · 2 · 7 · 256² + 4 · 7² · 256 = 3 720 192; to the image
  // 2 · 2 · 7 · 256 · 128 + 2 · 2 · 4096 · 256 · 128 + 4 · 7 · 4096 · 128 = 552 468 480; MLP 4 · 7 · 256 · 2048 =
  // 14 680 064; back 552 468 480. Then once more to the image, the upscaling 536 870 912 + 268 435 456, the mask
  // 278 528 + 4 194 304, the score 264 192.
  const layer = 3_720_192 + 552_468_480 + 14_680_064 + 552_468_480;
  const once = 552_468_480 + 536_870_912 + 268_435_456 + 278_528 + 4_194_304 + 264_192;
  const grid = { h: 64, w: 64 };
  const work = { grid, input: { width: 1024, height: 1024 }, prompts: 1, tokens: 2, multimask: false };

  it('one point on 64 × 64', () => {
    expect(flopsOf(maskDecoder(SAM_DECODER, { ...work, maskPrompt: false }))).toBe(2 * layer + once);
  });

  it('what is kept per image: three projections of the keys, 2 · 4096 · 256 · 128 each', () => {
    const kept = 3 * 268_435_456;
    expect(flopsOf(imageTokens(SAM_DECODER, grid))).toBe(kept);
    const rest = maskDecoder(SAM_DECODER, { ...work, maskPrompt: false, imageTokens: true });
    expect(flopsOf(rest)).toBe(2 * layer + once - kept);
  });

  it('a mask prompt: its convolutions 2 · 4 N · 4 · 4 + 2 · N · 16 · 16 + 2 · N · 16 · 256', () => {
    const convolutions = 2 * 4 * 4096 * 4 * 4 + 2 * 4096 * 16 * 16 + 2 * 4096 * 16 * 256;
    expect(flopsOf(maskDecoder(SAM_DECODER, { ...work, maskPrompt: true }))).toBe(
      2 * layer + once + convolutions,
    );
  });
});
