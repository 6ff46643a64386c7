// Values that change between runs, and nodes with several outputs, through Session.
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { Graph } from '../../lib/graph/graph';
import { Session } from '../../lib/graph/session';
import * as ops from '../../lib/ops';

let session: Session;
beforeEach(async () => {
  await session?.dispose();
  session = new Session({ device: 'cpu', threads: 1 });
});
afterAll(() => session.dispose());

/** y = 2 · w + frozen, of a parameter and a weight: constants but for the parameter. */
function sum(): Graph {
  const graph = new Graph();
  const w = graph.parameter('w', [1, 3]);
  graph.output(ops.add(ops.add(w, w), graph.weight('frozen', [1, 3])));
  return graph;
}

describe('a session', () => {
  it.each([
    [{ device: null }, /Expected auto, cpu, cuda or cuda:<index> for options\.device but received null/],
    [{ device: {} }, /Expected auto, cpu, cuda or cuda:<index> for options\.device/],
    [{ device: 'gpu' }, /for device but received "gpu"/],
    [{ threads: Number.NaN }, /Expected number for options\.threads but received NaN/],
    [{ threads: -1 }, /for options\.threads but received -1/],
    [{ isa: 3 }, /Expected string for options\.isa but received 3/],
    [{ tf32: 'yes' }, /Expected boolean for options\.tf32 but received "yes"/],
    [{ thread: 1 }, /Expected known options for options but received thread/],
    [null, /Expected object for options but received null/],
  ])('refuses %j', (options, message) => {
    expect(() => new Session(options as object)).toThrow(message);
  });

  it.each([
    [{ signal: {} }, /Expected AbortSignal for options\.signal/],
    [{ onProfile: 1 }, /Expected function for options\.onProfile but received 1/],
    [{ hold: 1 }, /Expected boolean for options\.hold but received 1/],
    [{ copied: 1 }, /Expected known options for options but received copied/],
  ])('refuses to run with %j', async (options, message) => {
    await expect(session.run('sum', sum, [], options as object)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    });
  });
});

describe('a parameter', () => {
  it('is seen by the next run when it changes, and reads back bit for bit', async () => {
    await session.setWeight('frozen', 'f32', 'f32', [1, 3], new Uint8Array(Float32Array.of(1, 1, 1).buffer));
    const values = Float32Array.of(1, 2, Math.fround(0.1));
    await session.setParameter('w', 'f32', [1, 3], values);
    const run = async () => [...((await session.run('sum', sum, []))[0] as Float32Array)];
    const first = run();
    const changed = session.setParameter('w', 'f32', [1, 3], Float32Array.of(-4, 5, 6));
    values.fill(9); // it was copied
    expect(await first).toEqual([3, 5, Math.fround(Math.fround(0.2) + 1)]);
    await changed;
    expect(await run()).toEqual([-7, 11, 13]);
    expect(session.planCount).toBe(1);
    expect([...(await session.readParameter('w', new Float32Array(3)))]).toEqual([-4, 5, 6]);
    expect(session.weightBytes).toBe(24);
  });

  it('is seen by a run that was started after its first value, however long that waits', async () => {
    const side = 1024;
    const busy = () => {
      const graph = new Graph();
      const [x, w] = [graph.input('x', [side, side]), graph.input('w', [side, side])];
      graph.output(ops.linear(ops.linear(x, w), w));
      return graph;
    };
    await session.setWeight('frozen', 'f32', 'f32', [1, 3], new Uint8Array(12));
    const zeros = new Float32Array(side * side);
    const first = session.run('busy', busy, [zeros, zeros]);
    const set = session.setParameter('w', 'f32', [1, 3], Float32Array.of(1, 2, 3));
    const [out] = await session.run('sum', sum, []);
    expect([...(out as Float32Array)]).toEqual([2, 4, 6]);
    await Promise.all([first, set]);
  });

  it('can be the matrix of a product, which is not packed', async () => {
    const build = () => {
      const graph = new Graph();
      graph.output(ops.linear(graph.input('x', [1, 2]), graph.parameter('w', [2, 2])));
      return graph;
    };
    const run = async () => [
      ...((await session.run('product', build, [Float32Array.of(1, 10)]))[0] as Float32Array),
    ];
    await session.setParameter('w', 'f32', [2, 2], Float32Array.of(1, 2, 3, 4));
    expect(await run()).toEqual([21, 43]);
    await session.setParameter('w', 'f32', [2, 2], Float32Array.of(4, 3, 2, 1));
    expect(await run()).toEqual([34, 12]);
  });

  it.each([
    ['another shape', 'w', [3, 1], 3, 'Expected parameter w as f32 [1, 3] again but received f32 [3, 1]'],
    ['too few values', 'w', [1, 3], 2, 'Expected 12 bytes for w of shape [1, 3] but received 8'],
    ['the name of a weight', 'frozen', [1, 3], 3, 'Expected a name of its own for a parameter'],
  ] as const)('refuses %s', async (_what, name, shape, count, message) => {
    await session.setWeight('frozen', 'f32', 'f32', [1, 3], new Uint8Array(12));
    await session.setParameter('w', 'f32', [1, 3], new Float32Array(3));
    await expect(session.setParameter(name, 'f32', shape, new Float32Array(count))).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining(message),
    });
  });

  it('is worth collecting with a session that nobody disposes of', async () => {
    const [sessions, megabytes] = [48, 16];
    const values = new Float32Array(megabytes << 18).fill(1);
    const before = process.memoryUsage.rss();
    let peak = before;
    for (let i = 0; i < sessions; i++) {
      await new Session({ device: 'cpu' }).setParameter('w', 'f32', [values.length], values);
      await new Promise(setImmediate); // finalizers run between events
      peak = Math.max(peak, process.memoryUsage.rss());
    }
    expect(peak - before).toBeLessThan((sessions * megabytes * 2 ** 20) / 2);
  });

  it('is missed by name, by a graph and by who reads it', async () => {
    await session.setWeight('frozen', 'f32', 'f32', [1, 3], new Uint8Array(12));
    await expect(session.run('sum', sum, [])).rejects.toMatchObject({
      code: 'ERR_GRAPH',
      message: 'Expected a parameter named w but there is none',
    });
    await expect(session.readParameter('w', new Float32Array(3))).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
  });

  it.each([
    ['f32', [2], new Float64Array(1), /Expected a typed array of dtype f32 for values/],
    ['bf16', [2], new Float32Array(1), /Expected a typed array of dtype bf16 for values/],
    ['f32', [2], [1, 2], /Expected a typed array for values/],
    ['u8', [2], new Uint8Array(2), /Expected f32, f16 or bf16 for w but received u8/],
    ['f32', [2], new Float32Array(3), /Expected 8 bytes for w of shape \[2\] but received 12/],
    [
      'f32',
      [],
      new Float32Array(1),
      /Expected a shape of 1 to 6 non-negative integers for w but received \[\]/,
    ],
    ['f32', [1, -1], new Float32Array(1), /Expected a shape of 1 to 6 non-negative integers for w/],
    ['f32', 2, new Float32Array(2), /Expected a shape .* for w but received 2/],
  ] as const)('is refused as %s %j of other values', async (dtype, shape, values, message) => {
    await expect(session.setParameter('w', dtype, shape as never, values as never)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    });
  });

  it('is told from a weight of the same name', () => {
    const graph = new Graph();
    graph.parameter('w', [1, 3]);
    expect(() => graph.weight('w', [1, 3])).toThrow(
      'Expected w as parameter f32 [1,3] again but received weight f32 [1,3]',
    );
  });
});

describe('further outputs', () => {
  it('of layerNorm: mean and rstd of every row', async () => {
    const build = () => {
      const graph = new Graph();
      const [w, b] = [graph.input('w', [4]), graph.input('b', [4])];
      const out = ops.layerNormWithStatistics(graph.input('x', [2, 4]), w, b, { eps: 1e-6 });
      for (const value of [out.y, out.mean, out.rstd]) graph.output(value);
      return graph;
    };
    const x = Float32Array.of(1, 2, 3, 6, 5, 5, 9, 9);
    const ones = new Float32Array(4).fill(1);
    const outputs = await session.run('norm', build, [ones, new Float32Array(4), x]);
    const [y, mean, rstd] = outputs as Float32Array[];
    expect([...mean]).toEqual([3, 7]);
    expect(rstd[0]).toBeCloseTo(1 / Math.sqrt(3.5 + 1e-6), 6);
    expect(rstd[1]).toBeCloseTo(1 / 2, 6);
    expect([...y]).toEqual(
      [...x].map((value, i) => expect.closeTo((value - mean[i >> 2]) * rstd[i >> 2], 5)),
    );
  });

  it('of attention: ln Σ exp(logit) of every query', async () => {
    const [h, w, heads, dim] = [2, 3, 2, 4];
    const build = () => {
      const graph = new Graph();
      const qkv = graph.input('qkv', [1, h, w, 3 * heads * dim]);
      const { y, logSumExp } = ops.gridAttentionWithLogSumExp(qkv, { heads, scale: 0.5 });
      graph.output(y);
      graph.output(logSumExp);
      return graph;
    };
    const qkv = Float32Array.from({ length: h * w * 3 * heads * dim }, (_, i) => Math.sin(i * 1.7));
    const [, lse] = (await session.run('lse', build, [qkv])) as Float32Array[];
    const at = (token: number, part: number, head: number, d: number) =>
      qkv[(token * 3 + part) * heads * dim + head * dim + d];
    const expected = Array.from({ length: heads * h * w }, (_, n) => {
      const [head, i] = [Math.floor(n / (h * w)), n % (h * w)];
      let sum = 0;
      for (let j = 0; j < h * w; j++) {
        let dot = 0;
        for (let d = 0; d < dim; d++) dot += at(i, 0, head, d) * at(j, 1, head, d);
        sum += Math.exp(0.5 * dot);
      }
      return expect.closeTo(Math.log(sum), 5);
    });
    expect([...lse]).toEqual(expected);
  });
});
