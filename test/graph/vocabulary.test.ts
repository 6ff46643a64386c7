// The list of ops and the homes of each: native/ops/<op>/ and lib/ops/<op>.ts, with a page in docs/ops.md.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Graph } from '../../lib/graph/graph';
import { Session } from '../../lib/graph/session';
import { native } from '../../lib/native';
import * as ops from '../../lib/ops';
import { readOps } from '../../scripts/write-op-index.mts';

const ROOT = path.join(__dirname, '..', '..');
const text = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');
const document = text('docs/ops.md');
const listed = readOps();

describe('op vocabulary', () => {
  it('is the list that native code was built from', () => {
    expect(
      native()
        .opTable()
        .map((row) => row.name),
    ).toEqual(listed.map(({ wire }) => wire));
  });

  it('has a folder and a file for every op of the list, and no others', () => {
    const folders = readdirSync(path.join(ROOT, 'native/ops'), { withFileTypes: true });
    expect(folders.filter((entry) => entry.isDirectory()).map(({ name }) => name)).toEqual(
      listed.map(({ name }) => name).sort(),
    );
    const shared = ['append.ts', 'attributes.ts', 'index.ts'];
    const files = readdirSync(path.join(ROOT, 'lib/ops')).filter((name) => !shared.includes(name));
    expect(files.sort()).toEqual(listed.map(({ file }) => `${file}.ts`).sort());
  });

  it.each(listed.map((op) => [op.wire, op] as const))(
    '%s has all that it needs',
    (wire, { name, file, isView }) => {
      expect(text(`lib/ops/${file}.ts`)).toContain(`'${wire}'`);
      expect(typeof (ops as Record<string, unknown>)[wire]).toBe('function');
      expect(document).toContain(`### \`${wire}\``);
      const home = `native/ops/${name}`;
      for (const part of ['rule.cpp', 'cases.cpp'])
        expect(existsSync(path.join(ROOT, home, part)), part).toBe(true);
      for (const [kernel, folder] of [
        ['cpu.cpp', 'cpu'],
        ['cuda.cu', 'cuda'],
      ] as const) {
        const there = [kernel, folder].some((part) => existsSync(path.join(ROOT, home, part)));
        expect(there, `${home}/${kernel}`).toBe(!isView);
      }
    },
  );
});

describe('patchEmbed', () => {
  it('takes photographs of different sizes with one plan', async () => {
    const session = new Session({ device: 'cpu' });
    const identity = Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1);
    await session.setWeight('w', 'f32', 'f32', [3, 3, 1, 1], new Uint8Array(identity.buffer));
    const build = () => {
      const graph = new Graph();
      const pixels = graph.input('pixels', [1, 2, 3, 3], 'u8');
      const content = graph.input('content', [1, 2], 'i32');
      const photograph = { content, mean: [1, 2, 3], std: [1, 2, 4] } as const;
      graph.output(ops.patchEmbed(pixels, graph.weight('w', [3, 3, 1, 1]), { photograph }));
      return graph;
    };
    const pixels = Uint8Array.from({ length: 18 }, () => 11);
    const run = async (h: number, w: number) => [
      ...((await session.run('photograph', build, [pixels, Int32Array.of(h, w)]))[0] as Float32Array),
    ];
    const [inside, outside] = [
      [10, 4.5, 2],
      [0, 0, 0],
    ];
    expect(await run(2, 3)).toEqual(Array(6).fill(inside).flat());
    expect(await run(1, 2)).toEqual([inside, inside, outside, outside, outside, outside].flat());
    expect(session.planCount).toBe(1);
    await session.dispose();
  });

  it('needs to know how photographs are normalised', () => {
    const graph = new Graph();
    const weight = graph.weight('w', [3, 3, 1, 1]);
    expect(() => ops.patchEmbed(graph.input('pixels', [1, 2, 3, 3], 'u8'), weight)).toThrow(
      'patchEmbed: expected photograph exactly with u8 pixels',
    );
  });
});

describe("a graph of one's own", () => {
  it('runs, with weights that the user sets', async () => {
    const session = new Session();
    const weight = Float32Array.from([1, 2, 3, 4, 5, 6]);
    await session.setWeight('w', 'f32', 'f32', [2, 3], new Uint8Array(weight.buffer));
    const build = () => {
      const graph = new Graph();
      const x = graph.input('x', [2, 3]);
      graph.output(ops.linear(x, graph.weight('w', [2, 3]), { activation: 'relu' }));
      return graph;
    };
    const [y] = await session.run('mine', build, [Float32Array.from([1, 0, -1, 1, 1, 1])]);
    expect([...(y as Float32Array)]).toEqual([0, 0, 6, 15]);
    await session.dispose();
  });

  it('holds outputs in native memory, as inputs of later runs', async () => {
    const session = new Session({ device: 'cpu' });
    const build = () => {
      const graph = new Graph();
      graph.output(ops.add(graph.input('a', [1, 3]), graph.input('b', [1, 3])));
      return graph;
    };
    const [a, b] = [Float32Array.of(1, 2, 3), Float32Array.of(10, 20, 30)];
    const [sum] = await session.run('sum', build, [a, b], { hold: true });
    expect(sum.byteLength).toBe(12);
    for (let i = 0; i < 2; i++) {
      const [y] = await session.run('sum', build, [sum, b]);
      expect([...(y as Float32Array)]).toEqual([21, 42, 63]);
    }
    const larger = () => {
      const graph = new Graph();
      graph.output(ops.add(graph.input('a', [1, 4]), graph.input('b', [1, 4])));
      return graph;
    };
    await expect(session.run('larger', larger, [sum, b])).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: 'Expected an output of this dtype and size that was held for a',
    });
    await expect(session.run('sum', build, [{ byteLength: 12 }, b])).rejects.toThrow(
      'Expected a typed array',
    );
    await session.dispose();
  });

  it('is refused with the op and the expectation when a shape is wrong', async () => {
    const session = new Session();
    const build = () => {
      const graph = new Graph();
      const x = graph.input('x', [1, 4, 4, 12]);
      const [y] = graph.node('attention', [x], { heads: 5, scale: 1 }, [
        { shape: [1, 4, 4, 4], dtype: 'f32' },
      ]);
      graph.output(y!);
      return graph;
    };
    await expect(session.run('bad', build, [new Float32Array(192)])).rejects.toMatchObject({
      code: 'ERR_GRAPH',
      message: expect.stringMatching(/^attention \(node 0\): expected channels divisible by heads/),
    });
    await session.dispose();
  });

  it.each<[string, (graph: Graph) => void, RegExp]>([
    [
      'a convolution of tokens',
      (graph) => ops.conv2d(graph.input('x', [1, 4, 8]), graph.weight('w', [8, 8, 3, 3])),
      /^conv2d: expected x \[B, H, W, C\] and weight \[O, I, kh, kw\]/,
    ],
    [
      'a depthwise convolution of tokens',
      (graph) => ops.depthwiseConv2d(graph.input('x', [1, 4, 8]), graph.weight('w', [8, 1, 3, 3])),
      /^depthwiseConv2d: expected x \[B, H, W, C\]/,
    ],
    [
      'a depthwise convolution of two channels at a time',
      (graph) => ops.depthwiseConv2d(graph.input('x', [1, 4, 4, 8]), graph.weight('w', [8, 2, 3, 3])),
      /^depthwiseConv2d: expected weight \[8, 1, kh, kw\]/,
    ],
    [
      'a projection that is no multiple of heads',
      (graph) => ops.gridAttention(graph.input('x', [1, 4, 4, 25]), { heads: 2, scale: 1 }),
      /^attention: expected qkv \[B, Gh, Gw, 3·H·D\] with 2 heads/,
    ],
    [
      'the same with its log-sum-exp',
      (graph) => ops.gridAttentionWithLogSumExp(graph.input('x', [1, 4, 4, 25]), { heads: 2, scale: 1 }),
      /^attention: expected qkv \[B, Gh, Gw, 3·H·D\] with 2 heads/,
    ],
  ])('is refused while it is built: %s', (_, build, message) => {
    expect(() => build(new Graph())).toThrow(message);
  });

  it('is refused when a weight is missing or of another shape', async () => {
    const session = new Session();
    const build = () => {
      const graph = new Graph();
      graph.output(ops.linear(graph.input('x', [1, 3]), graph.weight('absent', [2, 3])));
      return graph;
    };
    await expect(session.run('bad', build, [new Float32Array(3)])).rejects.toMatchObject({
      code: 'ERR_GRAPH',
      message: 'Expected a weight named absent but there is none',
    });
    await session.dispose();
  });

  it('refuses an output that is a view of a weight', async () => {
    const session = new Session();
    await session.setWeight('w', 'f32', 'f32', [2, 3], new Uint8Array(24));
    const build = () => {
      const graph = new Graph();
      graph.output(ops.reshape(graph.weight('w', [2, 3]), [3, 2]));
      return graph;
    };
    await expect(session.run('bad', build, [])).rejects.toMatchObject({ code: 'ERR_GRAPH' });
    await session.dispose();
  });
});
