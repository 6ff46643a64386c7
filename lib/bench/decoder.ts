// One call of Sam.predict as a program sees it: prompt encoder, mask decoder, masks at the picture's size. SAM's own decoder
// (width 256), which the bundled model has, on an embedding of random numbers.
import { Embedding } from '../embedding';
import type { ProfileRow } from '../graph/profile';
import { SAM_DECODER } from '../model/decoder/config';
import type { Prompt } from '../prompts';
import { Sam } from '../sam';
import type { DecoderCase } from './cases';
import { measureBetweenProducts, type Rates, type RowConditions, rates } from './conditions';
import type { Peaks } from './memory';
import { digits, flopsOf, measureInterleaved, opTimes, type Times, timesOf, wall } from './timing';
import { random } from './weights';

/** Columns of a row besides those that name it. */
export interface DecoderMeasures extends Times, Rates, Peaks {
  readonly ms_per_prompt: number;
  readonly ops_ms: Readonly<Record<string, number>>;
}

const PATCH_PX = 16;
const WARM_UP = 3;

export async function measureDecoder(call: DecoderCase, conditions: RowConditions): Promise<DecoderMeasures> {
  const { measured, peaks, gemm_gflops } = await measureBetweenProducts('f32', conditions, () =>
    timeCall(call, conditions),
  );
  const times = timesOf(measured.walls);
  return {
    ...times,
    ms_per_prompt: digits(times.ms / call.prompts),
    ...rates(flopsOf(measured.profiles), times.ms, gemm_gflops),
    ...peaks,
    ops_ms: opTimes(measured.profiles),
  };
}

async function timeCall(call: DecoderCase, { device, repeats }: RowConditions) {
  const name = device.kind === 'cpu' ? 'cpu' : (`cuda:${device.index}` as const);
  const sam = await Sam.load(undefined, { device: name });
  try {
    const embedding = randomEmbedding(call);
    const prompts = promptsOf(call, embedding);
    const predict = (onProfile?: (rows: readonly ProfileRow[]) => void) =>
      sam.predict(embedding, prompts, { onProfile });
    const [walls] = await measureInterleaved([() => wall(() => predict())], WARM_UP, repeats);
    // Apart: a profile costs time, and on CUDA the replay of a graph.
    const profiled = async () => {
      const profile: ProfileRow[] = [];
      await predict((rows) => profile.push(...rows));
      return profile;
    };
    const [profiles] = await measureInterleaved([profiled], 1, repeats);
    return { walls, profiles };
  } finally {
    await sam.dispose();
  }
}

function randomEmbedding({ grid: [h, w] }: DecoderCase): Embedding {
  const { dim } = SAM_DECODER;
  const size = { width: PATCH_PX * w, height: PATCH_PX * h };
  return new Embedding(random(dim * h * w, 1, 11), [1, dim, h, w], {
    ...{ image: size, content: size, input: size },
    settings: { mode: 'paper', lengthScale: false, distance: null },
    dtype: 'f32',
  });
}

function promptsOf({ prompt, prompts }: DecoderCase, { image, gridH, gridW }: Embedding): Prompt[] {
  const coordinates = random(4 * prompts, 1, 12);
  return Array.from({ length: prompts }, (_, i): Prompt => {
    const [x0, y0, x1, y1] = coordinates.subarray(4 * i, 4 * i + 4);
    const at = (value: number, side: number) => ((value + 1) / 2) * side;
    const point = { points: [[at(x0, image.width), at(y0, image.height)]] } as const;
    if (prompt === 'point') return point;
    if (prompt === 'point+mask') return { ...point, mask: random(16 * gridH * gridW, 8, 100 + i) };
    // In the left and the right half, so that x0 < x1 and y0 < y1.
    const box = [at(x0, image.width), at(y0, image.height), at(x1, image.width), at(y1, image.height)];
    return { box: [box[0] / 2, box[1] / 2, (image.width + box[2]) / 2, (image.height + box[3]) / 2] };
  });
}
