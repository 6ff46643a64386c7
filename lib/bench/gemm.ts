// The rate of the library's own matrix product: what a benchmark's rate is compared with.
import { deviceName, type ResolvedDevice } from '../device';
import { Graph } from '../graph/graph';
import { Session } from '../graph/session';
import type { ComputeDType } from '../model/weights';
import { cast, linear, reshape, slice } from '../ops';
import { measureInterleaved, median } from './timing';
import { bytesOf, random } from './weights';

// A GPU is not filled by what an encoder's layer on a CPU looks like.
const CPU_SHAPE = { m: 4096, k: 768, n: 3072 };
const CUDA_SIDE = 8192;

/**
 * Rate of a product x [M, K] · weight [N, K]ᵀ in GFLOP/s: 4096 × 768 × 3072 on the CPU, 8192 × 8192 × 8192 on CUDA. Median
 * of the products alone, without copies; the first one, which packs the weight, is left out.
 *
 * @param side of a cube, where the usual product takes too long
 */
export async function gemmRate(
  device: ResolvedDevice,
  dtype: ComputeDType,
  runs: number,
  side?: number,
): Promise<number> {
  const cube = side ?? (deviceName(device) === 'cpu' ? undefined : CUDA_SIDE);
  const { m, k, n } = cube === undefined ? CPU_SHAPE : { m: cube, k: cube, n: cube };
  const session = new Session({ device });
  try {
    await session.setWeight('weight', 'f32', dtype, [n, k], bytesOf(random(n * k, 0.05, 7)));
    const x = random(m * k, 1, 5);
    const build = () => {
      const graph = new Graph();
      const out = linear(cast(graph.input('x', [m, k]), dtype), graph.weight('weight', [n, k], dtype));
      // One row is enough to come back.
      graph.output(slice(reshape(out, [1, m, n]), 0, 1));
      return graph;
    };
    const time = async () => {
      let milliseconds = 0;
      await session.run('product', build, [x], {
        onProfile: (rows) => {
          milliseconds = rows.find(({ op }) => op === 'linear')!.milliseconds;
        },
      });
      return milliseconds;
    };
    const [times] = await measureInterleaved([time], 1, {
      minRuns: runs,
      maxRuns: runs,
      seconds: 0,
      maxSeconds: 60,
    });
    return (2 * m * k * n) / median(times) / 1e6;
  } finally {
    await session.dispose();
  }
}
