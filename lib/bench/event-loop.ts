// How long the event loop is held up by what a server asks of the library: delays of a timer of 1 ms while the work runs.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import sharp from 'sharp';
import { encodeRleAsync } from '../image/rle';
import { Sam } from '../sam';
import type { EventLoopCase } from './cases';
import type { RowConditions } from './conditions';
import { type Peaks, peaks, resetPeaks } from './memory';
import { measureInterleaved, round, type Times, timesOf, wall } from './timing';

/** Columns of a row besides those that name it. */
export interface EventLoopMeasures extends Times, Peaks {
  /** Delays over all runs, beyond the timer's own millisecond. */
  readonly delay_p99_ms: number;
  readonly delay_max_ms: number;
}

const WIDTH = 4000;
const HEIGHT = 3000;
const PROMPTS = 100_000;
const TIMER_MS = 1;

export async function measureEventLoop(
  { work }: EventLoopCase,
  { device, repeats }: RowConditions,
): Promise<EventLoopMeasures> {
  const sam = await Sam.load(undefined, { device: device.kind === 'cpu' ? 'cpu' : `cuda:${device.index}` });
  try {
    const run = await WORKS[work](sam);
    await run(); // compiles, and makes the plans
    resetPeaks(device);
    await wait(50);
    const delays = monitorEventLoopDelay({ resolution: TIMER_MS });
    delays.enable();
    const [walls] = await measureInterleaved([() => wall(run)], 0, repeats);
    delays.disable();
    const delay = (nanoseconds: number) => round(Math.max(0, nanoseconds / 1e6 - TIMER_MS), 2);
    return {
      ...timesOf(walls),
      delay_p99_ms: delay(delays.percentile(99)),
      delay_max_ms: delay(delays.max),
      ...peaks(device),
    };
  } finally {
    await sam.dispose();
  }
}

type Work = (sam: Sam) => Promise<() => Promise<unknown>>;

const WORKS: Readonly<Record<EventLoopCase['work'], Work>> = {
  // What the machine does by itself, while other processes run.
  idle: async () => () => wait(200),
  'encode-file': async (sam) => {
    const raw = { width: WIDTH, height: HEIGHT, channels: 3 } as const;
    const jpeg = await sharp(noise(3 * WIDTH * HEIGHT, 255), { raw })
      .blur(3)
      .jpeg()
      .toBuffer();
    return () => sam.encode(jpeg);
  },
  'encode-raw': async (sam) => {
    const image = { data: noise(3 * WIDTH * HEIGHT, 255), width: WIDTH, height: HEIGHT };
    return () => sam.encode(image);
  },
  rle: async () => {
    const mask = noise(WIDTH * HEIGHT, 1);
    return () => encodeRleAsync(mask, WIDTH, HEIGHT);
  },
  // The last one is wrong, so that they are checked and none is decoded.
  prompts: async (sam) => {
    const embedding = await sam.encode({ data: noise(3 * 256 * 256, 255), width: 256, height: 256 });
    const prompts = Array.from({ length: PROMPTS }, (_, i) => ({
      box: [i % 200, 5, (i % 200) + 50, 30] as const,
    }));
    const wrong = { box: [9, 9, 1, 1] } as const;
    return () =>
      sam.predict(embedding, [...prompts, wrong]).then(
        () => Promise.reject(new Error('Expected the last prompt to be refused')),
        () => {},
      );
  },
};

function noise(length: number, mask: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (Math.imul(i, 2654435761) >>> 13) & mask;
  return bytes;
}
