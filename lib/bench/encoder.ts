// The image encoder with random weights, batch 1: time, rate, time per op.
//
// ms is the sum of all ops on the CPU. On CUDA it is a whole run as a program sees it, a replayed graph between the copies
// to and from the device; device_ms is the sum of all ops, each between two events, and transfer_ms what a run with
// the same copies and next to no work takes.

import { Graph } from '../graph/graph';
import type { ProfileRow } from '../graph/profile';
import { Session } from '../graph/session';
import { resolveSettings } from '../model/ba-sam';
import { attentionOf, imageEncoder } from '../model/families';
import { slice } from '../ops';
import type { EncoderCase } from './cases';
import { measureBetweenProducts, type Rates, type RowConditions, rates } from './conditions';
import type { Peaks } from './memory';
import { encoderOnly, samConfig } from './models';
import {
  digits,
  flopsOf,
  measureInterleaved,
  median,
  opTimes,
  type Repeats,
  type Times,
  timesOf,
  total,
  wall,
} from './timing';
import { random, setRandomWeights } from './weights';

/** Columns of a row besides those that name it. */
export interface EncoderMeasures extends Times, Omit<Rates, 'share'>, Peaks {
  /** gflops over the larger of gemm_gflops: 1 would be an encoder that spends all its time in perfect products. */
  readonly efficiency: number;
  readonly device_ms?: number;
  readonly transfer_ms?: number;
  readonly ops_ms: Readonly<Record<string, number>>;
}

/** CUDA: the first runs fold constants and capture a graph. */
const WARM_UP = 3;

export async function measureEncoder(
  encoder: EncoderCase,
  conditions: RowConditions,
): Promise<EncoderMeasures> {
  const { measured, peaks, gemm_gflops } = await measureBetweenProducts(encoder.dtype, conditions, () =>
    timeEncoder(encoder, conditions),
  );
  const { profiles, walls, transfers } = measured;
  const onDevice = profiles.map(total);
  const times = timesOf(walls ?? onDevice);
  const { share, ...rate } = rates(flopsOf(profiles), times.ms, gemm_gflops);
  return {
    ...times,
    ...(walls && { device_ms: digits(median(onDevice)) }),
    ...(transfers && { transfer_ms: digits(median(transfers)) }),
    ...rate,
    efficiency: share,
    ...peaks,
    ops_ms: opTimes(profiles),
  };
}

interface EncoderTimes {
  readonly profiles: readonly (readonly ProfileRow[])[];
  /** CUDA only, in ms. */
  readonly walls?: readonly number[];
  readonly transfers?: readonly number[];
}

async function timeEncoder(
  { model, size, dtype, f8, biases }: EncoderCase,
  { device, repeats }: RowConditions,
): Promise<EncoderTimes> {
  const config = encoderOnly(samConfig(model));
  const session = new Session({ device });
  try {
    await setRandomWeights(session, config, dtype);
    const distance = biases === 'plain' ? undefined : { metric: biases };
    const settings = resolveSettings({ lengthScale: biases !== 'plain', distance }, attentionOf(config));
    const side = size / config.patch;
    const grid = { h: side, w: side };
    const pixels = random(3 * size * size, 2, 99);
    const encode = (onProfile?: (rows: readonly ProfileRow[]) => void) =>
      session.run('encoder', () => imageEncoder(config, { batch: 1, grid, settings, dtype, f8 }), [pixels], {
        onProfile,
      });
    const profiled = async () => {
      let profile: readonly ProfileRow[] = [];
      await encode((rows) => {
        profile = rows;
      });
      return profile;
    };
    const [profiles] = await measureInterleaved([profiled], 1, repeats);
    if (device.kind === 'cpu') return { profiles };
    const walls = await timeWalls(() => encode(), repeats);
    return { profiles, walls, transfers: await timeTransfers(session, pixels, grid.h * grid.w, repeats) };
  } finally {
    await session.dispose();
  }
}

async function timeWalls(call: () => Promise<unknown>, repeats: Repeats): Promise<number[]> {
  return (await measureInterleaved([() => wall(call)], WARM_UP, repeats))[0];
}

/** Runs that copy what the encoder's do, pixels there and an embedding of 256 channels back, with one copy between. */
function timeTransfers(session: Session, pixels: Float32Array, tokens: number, repeats: Repeats) {
  const build = () => {
    const graph = new Graph();
    graph.output(slice(graph.input('x', [1, pixels.length / 256, 256]), 0, tokens));
    return graph;
  };
  return timeWalls(() => session.run('transfer', build, [pixels]), repeats);
}
