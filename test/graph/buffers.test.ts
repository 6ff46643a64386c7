// Buffers that their owner changes while native code has them: transferred, made smaller, shared, of another realm. No memory is
// read after it was freed, and every value is the one of the call.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, describe, expect, it } from 'vitest';
import { attention } from '../../lib/attention';
import { Graph, Session } from '../../lib/index';
import * as ops from '../../lib/ops';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Frees the memory of an array, as far as its owner can. */
function drop(array: ArrayBufferView<ArrayBuffer>): void {
  structuredClone(array.buffer, { transfer: [array.buffer] });
  collect();
}

const N = 256;
const sum = () => {
  const graph = new Graph();
  graph.output(ops.add(graph.input('a', [N]), graph.input('b', [N])));
  return graph;
};
const session = new Session({ device: 'cpu' });
afterAll(() => session.dispose());
const ones = () => new Float32Array(N).fill(1);

/** Typed arrays of N ones, whose memory is not an ordinary ArrayBuffer of this realm. */
const KINDS: [string, () => Float32Array<ArrayBufferLike>][] = [
  ['shared', () => new Float32Array(new SharedArrayBuffer(4 * N)).fill(1)],
  ['resizable', () => new Float32Array(resizable(4 * N)).fill(1)],
  ['foreign', () => runInNewContext(`new Float32Array(${N}).fill(1)`)],
  ['a part of a larger buffer', () => new Float32Array(new ArrayBuffer(4 * N + 64), 32, N).fill(1)],
];
function resizable(length: number): ArrayBuffer {
  return new (ArrayBuffer as new (length: number, options: object) => ArrayBuffer)(length, {
    maxByteLength: 2 * length,
  });
}
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array<ArrayBufferLike>) =>
  new Uint8Array(buffer, byteOffset, byteLength);

let count = 0;
async function weightOf(
  bytes: Uint8Array<ArrayBufferLike>,
  transfer = false,
  change: () => unknown = () => {},
) {
  const name = `weight${count++}`;
  const set = session.setWeight(name, 'f32', 'f32', [N], bytes as Uint8Array<ArrayBuffer>, { transfer });
  change();
  await set;
  const build = () => {
    const graph = new Graph();
    graph.output(ops.add(graph.input('a', [N]), graph.weight(name, [N])));
    return graph;
  };
  const [y] = await session.run(name, build, [new Float32Array(N)]);
  return y as Float32Array;
}

describe('a weight', () => {
  it('is copied at call time: a buffer may be transferred then', async () => {
    const values = new Float32Array(2e6).fill(1);
    const build = () => {
      const graph = new Graph();
      graph.output(ops.add(graph.input('a', [1, 2e6]), graph.weight('large', [1, 2e6])));
      return graph;
    };
    const set = session.setWeight('large', 'f32', 'f32', [1, 2e6], new Uint8Array(values.buffer));
    drop(values);
    await set;
    const [y] = await session.run('large', build, [new Float32Array(2e6)]);
    expect((y as Float32Array).every((value) => value === 1)).toBe(true);
  });

  it('is moved when it may be: the buffer is detached and nobody else has it', async () => {
    const values = ones();
    expect(await weightOf(bytesOf(values), true, collect)).toEqual(ones());
    expect(values.length).toBe(0);
  });

  it.each(KINDS)('is copied when it cannot be moved, and otherwise moved: %s', async (_name, make) => {
    for (const transfer of [false, true]) {
      const values = make();
      expect(await weightOf(bytesOf(values), transfer, () => values.length > 0 && values.fill(2))).toEqual(
        ones(),
      );
    }
  });

  it('is refused once its buffer is gone', async () => {
    const values = ones();
    const bytes = bytesOf(values);
    drop(values);
    await expect(weightOf(bytes)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining('but received 0'),
    });
    await expect(weightOf('bytes' as never, true)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  it('is read after its shape, whose getters may run anything', async () => {
    const values = ones();
    const shape = Object.defineProperty([N], 0, {
      get: () => {
        if (values.length > 0) drop(values);
        return N;
      },
    });
    const bytes = bytesOf(values);
    await expect(session.setWeight('getter', 'f32', 'f32', shape, bytes)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
  });
});

describe('an input', () => {
  it('is copied at call time: a buffer may be transferred then', async () => {
    const [a, b] = [ones(), ones()];
    const run = session.run('sum', sum, [a, b]);
    drop(a);
    drop(b);
    expect((await run)[0]).toEqual(new Float32Array(N).fill(2));
  });

  it.each(KINDS)('may be %s', async (_name, make) => {
    const values = make();
    const run = session.run('sum', sum, [values as Float32Array, ones()]);
    values.fill(7);
    if (!(values.buffer instanceof SharedArrayBuffer)) drop(values as Float32Array<ArrayBuffer>);
    expect((await run)[0]).toEqual(new Float32Array(N).fill(2));
  });

  it('whose buffer has become too small is refused', async () => {
    const buffer = resizable(4 * N);
    const values = new Float32Array(buffer);
    (buffer as unknown as { resize(length: number): void }).resize(4);
    await expect(session.run('sum', sum, [values, ones()])).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
  });

  it('of attention() is copied, too', async () => {
    const tokens = () => new Float32Array(4 * 16).fill(0.5);
    const options = { heads: 1, headDim: 16 };
    const [q, k, v] = [tokens(), tokens(), tokens()];
    const run = attention(q, k, v, options);
    for (const array of [q, k, v]) drop(array);
    expect((await run).out).toEqual(tokens());
  });
});

describe('a parameter', () => {
  const values = ones();
  it.each(KINDS)('is copied from what is %s', async (_name, make) => {
    const array = make();
    const set = session.setParameter('p', 'f32', [N], array as Float32Array);
    array.fill(3);
    await set;
    expect(await session.readParameter('p', new Float32Array(N))).toEqual(values);
  });

  it('is written to an array that is still there, and to nothing else', async () => {
    await session.setParameter('gone', 'f32', [N], values);
    const out = new Float32Array(N);
    const read = session.readParameter('gone', out);
    drop(out);
    await expect(read).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: 'Expected an array that keeps its buffer until its values are there for out',
    });
    const buffer = resizable(4 * N);
    const shrinking = session.readParameter('gone', new Float32Array(buffer));
    (buffer as unknown as { resize(length: number): void }).resize(4);
    await expect(shrinking).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });
});
