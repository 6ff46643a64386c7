// SAM's ViT from a checkpoint's shapes: width, depth, heads, windows.
import type { Finder } from '../../checkpoint/finder';
import { PLAIN } from '../ba-sam';
import type { ViTConfig } from './config';
import { vitGraph } from './encoder';
import { VIT_VARIANTS } from './variants';

// A checkpoint is untrusted input: these bounds are far above any SAM and far below what exhausts memory.
const MAX_PATCH_PX = 256;
const MAX_WIDTH = 16_384;
const MAX_MLP = 131_072;
const MAX_DEPTH = 1000;
/** What the native attention kernels take. */
const MAX_HEAD_DIM = 256;
const MAX_WINDOW = 1024;
const MAX_GRID = 1024;
/** The decoder has 8 heads of at most MAX_HEAD_DIM channels. */
const MAX_OUT_CHANNELS = 2048;

/** @throws SamError ERR_CHECKPOINT */
export function inferViT(found: Finder): ViTConfig {
  const e = 'image_encoder.';
  const [width, , patch] = found.shape(`${e}patch_embed.proj.weight`, ['C', 3, 'P', 'P']);
  found.bound('patch size', patch, MAX_PATCH_PX);
  found.bound('width', width, MAX_WIDTH);
  const depth = found.count(`${e}blocks.`, MAX_DEPTH, firstBlock());
  const [mlpDim] = found.shape(`${e}blocks.0.mlp.lin1.weight`, ['mlp', width]);
  found.bound('MLP size', mlpDim, MAX_MLP);
  const [outChannels] = found.shape(`${e}neck.0.weight`, ['out', width, 1, 1]);
  found.bound('output channels', outChannels, MAX_OUT_CHANNELS);

  const hasAny = (what: string) =>
    Array.from({ length: depth }, (_, i) => `${e}blocks.${i}.attn.${what}`).some((name) => found.has(name));
  if (!hasAny('rel_pos_h')) {
    throw found.error(
      'has no relative position tables (image_encoder.blocks.N.attn.rel_pos_h), so the number of attention heads ' +
        'cannot be inferred',
    );
  }
  const tables: number[] = [];
  let headDim = 0;
  for (let i = 0; i < depth; i++) {
    const name = `${e}blocks.${i}.attn.rel_pos_h`;
    const [length, d] = found.shape(name, ['2 * grid - 1', i === 0 ? 'D' : headDim]);
    if (i === 0) headDim = d;
    if (length % 2 !== 1)
      throw found.error(`expected ${name} with an odd number of rows but found ${length}`);
    tables.push((length + 1) / 2);
  }
  found.bound('head size', headDim, MAX_HEAD_DIM);
  if (width % headDim !== 0) {
    throw found.error(
      `expected a head size that divides the ${width} channels but found ${headDim} columns in ${e}blocks.0.attn.rel_pos_h`,
    );
  }

  const hasPosEmbed = found.has(`${e}pos_embed`);
  // Without a position embedding the longest table has to be that of a global block.
  let trainedGrid = tables.reduce((a, b) => Math.max(a, b), 1);
  if (hasPosEmbed) trainedGrid = found.shape(`${e}pos_embed`, [1, 'grid', 'grid', width])[1];
  found.bound('trained grid', trainedGrid, MAX_GRID);
  const globalBlocks: number[] = [];
  // A window can be larger than the grid, so it is not the smallest table but that of the blocks that are not
  // global. Blocks whose window equals the grid look global, and at the trained size there is no difference.
  let window: number | undefined;
  tables.forEach((side, i) => {
    if (side === trainedGrid) globalBlocks.push(i);
    else if (window === undefined) window = side;
    else if (side !== window) {
      throw found.error(
        `expected ${e}blocks.${i}.attn.rel_pos_h of shape [${2 * window - 1}, ${headDim}] (windowed) or ` +
          `[${2 * trainedGrid - 1}, ${headDim}] (global) but found [${2 * side - 1}, ${headDim}]`,
      );
    }
  });
  window ??= trainedGrid;
  found.bound('window', window, MAX_WINDOW);
  return {
    family: 'vit',
    patch,
    width,
    heads: width / headDim,
    headDim,
    depth,
    mlpDim,
    window,
    globalBlocks,
    trainedGrid,
    trainedSide_px: trainedGrid * patch,
    outChannels,
    hasPosEmbed,
    hasCoefficient: hasAny('coefficient'),
  };
}

/** Names of all that a first block may have. */
function firstBlock(): ReadonlySet<string> {
  const config: ViTConfig = { ...VIT_VARIANTS['vit-b'], depth: 1, hasCoefficient: true };
  const graph = vitGraph(config, { batch: 1, grid: { h: 1, w: 1 }, settings: PLAIN, dtype: 'f32' });
  return new Set(graph.weights.map(({ name }) => name!));
}
