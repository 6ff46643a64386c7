// SAM's ViT from a checkpoint's shapes: width, depth, heads, windows.
import type { Finder } from '../../checkpoint/finder';
import { invalidArgument } from '../../errors';
import { PLAIN } from '../ba-sam';
import type { InferenceOptions } from '../encoder';
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

/**
 * @param globalBlocks which blocks are global, where the shapes cannot tell
 * @throws SamError ERR_CHECKPOINT; ERR_INVALID_ARGUMENT for global blocks that the model cannot have
 */
export function inferViT(found: Finder, { globalBlocks }: InferenceOptions = {}): ViTConfig {
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
  const { window, ...blocks } = findWindows(found, tables, trainedGrid, headDim, globalBlocks);
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
    ...blocks,
    trainedGrid,
    trainedSide_px: trainedGrid * patch,
    outChannels,
    hasPosEmbed,
    hasCoefficient: hasAny('coefficient'),
  };
}

/**
 * The window and the blocks without it, from the sides that every block's tables are made for.
 *
 * @param given what a user says about the global blocks
 */
function findWindows(
  found: Finder,
  tables: readonly number[],
  trainedGrid: number,
  headDim: number,
  given: readonly number[] | undefined,
): Pick<ViTConfig, 'window' | 'globalBlocks' | 'globalBlocksFrom'> {
  const depth = tables.length;
  // A window can be larger than the grid, so it is not the smallest table but that of the blocks that are not global.
  let window: number | undefined;
  tables.forEach((side, i) => {
    if (side === trainedGrid) return;
    window ??= side;
    if (side !== window) {
      throw found.error(
        `expected image_encoder.blocks.${i}.attn.rel_pos_h of shape [${2 * window - 1}, ${headDim}] (windowed) or ` +
          `[${2 * trainedGrid - 1}, ${headDim}] (global) but found [${2 * side - 1}, ${headDim}]`,
      );
    }
  });
  const wanted = given && [...given].sort((a, b) => a - b);
  if (wanted?.some((block) => block >= depth)) {
    throw invalidArgument('globalBlocks', `indices of the model's ${depth} blocks`, given);
  }
  if (window === undefined) {
    return wanted
      ? { window: trainedGrid, globalBlocks: wanted, globalBlocksFrom: 'option' }
      : { window: trainedGrid, globalBlocks: lastOfQuarters(depth), globalBlocksFrom: 'depth' };
  }
  const globalBlocks = [...tables.keys()].filter((i) => tables[i] === trainedGrid);
  if (wanted && wanted.join() !== globalBlocks.join()) {
    throw invalidArgument(
      'globalBlocks',
      `what the model's tensors tell, ${globalBlocks.join(', ') || 'no block'}, or nothing`,
      given,
    );
  }
  return { window, globalBlocks };
}

/**
 * The last block of every quarter, as in SAM's three models: 2 5 8 11 of 12, 5 11 17 23 of 24, 7 15 23 31 of 32. Source:
 * segment_anything/build_sam.py.
 */
function lastOfQuarters(depth: number): number[] {
  return [...new Set([1, 2, 3, 4].map((quarter) => Math.ceil((quarter * depth) / 4) - 1))];
}

/** Names of all that a first block may have. */
function firstBlock(): ReadonlySet<string> {
  const config: ViTConfig = { ...VIT_VARIANTS['vit-b'], depth: 1, hasCoefficient: true };
  const graph = vitGraph(config, { batch: 1, grid: { h: 1, w: 1 }, settings: PLAIN, dtype: 'f32' });
  return new Set(graph.weights.map(({ name }) => name!));
}
