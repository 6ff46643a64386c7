// One attention layer as the image encoder runs it, timed as the encoder's ops are: the kernel alone.
import { Graph } from '../graph/graph';
import type { ProfileRow } from '../graph/profile';
import { Session } from '../graph/session';
import { cast, gridAttention, linear, reshape, slice } from '../ops';
import type { AttentionBiases } from '../options/bench';
import { DEFAULT_SLOPE } from '../options/settings';
import { type AttentionCase, distanceOf } from './cases';
import { measureBetweenProducts, type Rates, type RowConditions, rates } from './conditions';
import type { Peaks } from './memory';
import { measureInterleaved, median, round, type Times, timesOf } from './timing';
import { bytesOf, random } from './weights';

/** Columns of a row besides those that name it. */
export interface AttentionMeasures extends Times, Rates, Peaks {
  /** With biases: ms over that of the same layer without any, both run in turn in this process. */
  readonly against_none?: number;
}

// Channels of the input that q, k and v are projected from. Few: copying and projecting it is not what is measured.
const INPUT_CHANNELS = 64;

/**
 * Measures one layer. A row with biases runs the same layer without them in turn, because two processes on a drifting
 * machine cannot be compared.
 */
export async function measureAttention(
  layer: AttentionCase,
  conditions: RowConditions,
): Promise<AttentionMeasures> {
  const { measured, peaks, gemm_gflops } = await measureBetweenProducts(layer.dtype, conditions, () =>
    timeLayer(layer, conditions),
  );
  const [own, without] = measured.map((rows) => rows.map(({ milliseconds }) => milliseconds));
  const times = timesOf(own);
  return {
    ...times,
    ...rates(measured[0][0].flops, times.ms, gemm_gflops),
    ...(without && { against_none: round(median(own) / median(without), 3) }),
    ...peaks,
  };
}

/** The attention's row of every run, with the biases and, if there are any, without. */
async function timeLayer(layer: AttentionCase, { device, repeats }: RowConditions): Promise<ProfileRow[][]> {
  const session = new Session({ device });
  try {
    await setWeights(session, layer);
    const x = random(layer.grid[0] * layer.grid[1] * INPUT_CHANNELS, 1, 1);
    const variants = layer.biases === 'none' ? [layer.biases] : ([layer.biases, 'none'] as const);
    const time = (biases: AttentionBiases) => async () => {
      let attention: ProfileRow | undefined;
      await session.run(biases, () => build(layer, biases), [x], {
        onProfile: (rows) => {
          attention = rows.find(({ op }) => op === 'attention');
        },
      });
      return attention!;
    };
    return await measureInterleaved(variants.map(time), device.kind === 'cpu' ? 1 : 3, repeats);
  } finally {
    await session.dispose();
  }
}

/** x [1, Gh, Gw, 64] → qkv, as in the encoder the result of a product → attention → one token of the output. */
function build(layer: AttentionCase, biases: AttentionBiases): Graph {
  const { dtype, heads, headDim, window } = layer;
  const [h, w] = layer.grid;
  const channels = heads * headDim;
  const graph = new Graph();
  const x = cast(graph.input('x', [1, h, w, INPUT_CHANNELS]), dtype);
  const bias = graph.weight('qkv.bias', [3 * channels]);
  const qkv = linear(x, graph.weight('qkv.weight', [3 * channels, INPUT_CHANNELS], dtype), { bias });
  const distance = distanceOf(biases);
  const [rowsH, rowsW] = tableRows(layer);
  const out = gridAttention(qkv, {
    heads,
    scale: 1 / Math.sqrt(headDim),
    window: window ?? 0,
    pad: bias,
    ...(biases.startsWith('rel') && {
      relPosH: graph.weight('rel_pos_h', [rowsH, headDim]),
      relPosW: graph.weight('rel_pos_w', [rowsW, headDim]),
    }),
    ...(distance && { metric: distance, slopes: new Array(heads).fill(DEFAULT_SLOPE) }),
  });
  graph.output(slice(reshape(out, [1, h * w, channels]), 0, 1));
  return graph;
}

async function setWeights(session: Session, layer: AttentionCase): Promise<void> {
  const { dtype, heads, headDim, biases } = layer;
  const channels = 3 * heads * headDim;
  // Queries and keys of about unit variance, biases of the order of 1 after the product with a table: as in trained models.
  const scale = 3 / Math.sqrt(INPUT_CHANNELS);
  const weight = random(channels * INPUT_CHANNELS, scale, 2);
  await session.setWeight('qkv.weight', 'f32', dtype, [channels, INPUT_CHANNELS], bytesOf(weight));
  await session.setWeight('qkv.bias', 'f32', 'f32', [channels], bytesOf(random(channels, 0.1, 3)));
  if (!biases.startsWith('rel')) return;
  for (const [i, name] of ['rel_pos_h', 'rel_pos_w'].entries()) {
    const shape = [tableRows(layer)[i], headDim];
    const table = random(shape[0] * headDim, 0.1, 4 + i);
    await session.setWeight(name, 'f32', 'f32', shape, bytesOf(table));
  }
}

function tableRows({ grid, window }: AttentionCase): [number, number] {
  const [h, w] = window === null ? grid : [window, window];
  return [2 * h - 1, 2 * w - 1];
}
