// An op has four homes with one name: lib/graph/ops.ts, native/core/ops, docs/ops.md, and the kernels of the backend.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Graph } from '../../lib/graph/graph';
import * as ops from '../../lib/graph/ops';
import { Session } from '../../lib/graph/session';
import { native } from '../../lib/native';

const ROOT = path.join(__dirname, '..', '..');
const document = readFileSync(path.join(ROOT, 'docs', 'ops.md'), 'utf8');
const backend = readFileSync(path.join(ROOT, 'native', 'cpu', 'backend.cpp'), 'utf8');

describe('op vocabulary', () => {
  it('has the same names in the same order in TypeScript and natively', () => {
    expect(
      native()
        .opTable()
        .map((row) => row.name),
    ).toEqual([...ops.OP_NAMES]);
  });

  it.each([...ops.OP_NAMES])('%s has a function, a page and a kernel', (name) => {
    expect(typeof (ops as Record<string, unknown>)[name]).toBe('function');
    expect(document).toContain(`### \`${name}\``);
    const snake = name.replace(/2d/, '2d').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    expect(backend).toContain(`case Op::${snake}:`);
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

  it('is refused with the op and the expectation when a shape is wrong', async () => {
    const session = new Session();
    const build = () => {
      const graph = new Graph();
      const x = graph.input('x', [1, 4, 4, 12]);
      graph.output(
        graph.node(ops.OP_NAMES.indexOf('gridAttention'), [x], [5, 0, 1, 0, 0], [1, 4, 4, 4], 'f32'),
      );
      return graph;
    };
    await expect(session.run('bad', build, [new Float32Array(192)])).rejects.toMatchObject({
      code: 'ERR_GRAPH',
      message: expect.stringMatching(/^gridAttention \(node 0\): expected channels divisible by heads/),
    });
    await session.dispose();
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
