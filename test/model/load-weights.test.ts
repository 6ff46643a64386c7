// Weights that are made of several tensors of a file, and what they are made from.
import { expect, it } from 'vitest';
import type { TensorInfo } from '../../lib/checkpoint/checkpoint';
import type { CheckpointDType } from '../../lib/checkpoint/dtype';
import { loadWeight } from '../../lib/model/load-weights';

/** A file of these tensors, and a session that keeps what it is given. */
function places(tensors: Record<string, [dtype: CheckpointDType, data: Uint16Array | Float32Array]>) {
  const infos = Object.entries(tensors).map(([name, [dtype, data]]): [string, TensorInfo] => [
    name,
    { name, dtype, shape: [data.length], byteLength: data.byteLength },
  ]);
  const given: unknown[] = [];
  return {
    file: {
      tensors: new Map(infos),
      read: async (name: string) => new Uint8Array(tensors[name]![1].slice().buffer as ArrayBuffer),
    },
    session: {
      setWeight: async (
        name: string,
        source: string,
        dtype: string,
        shape: readonly number[],
        bytes: Uint8Array,
      ) => {
        given.push({ name, source, dtype, shape, values: [...new Float32Array(bytes.slice().buffer)] });
      },
    },
    given,
  };
}

it('are made in f32 from every dtype that a file may have', async () => {
  const { file, session, given } = places({
    // 1, the smallest and the largest of f16, −2, −0, and what is no number.
    'conv.weight': ['f16', Uint16Array.of(0x3c00, 0x0001, 0x7bff, 0xc000, 0x8000, 0x7c00)],
    'bn.weight': ['bf16', Uint16Array.of(0x3f80, 0xc040, 0x7f7f)],
    'bn.bias': ['f32', Float32Array.of(0.1, -3)],
  });
  const seen: number[][] = [];
  const tensors = ['conv.weight', 'bn.weight', 'bn.bias'].map((name) => ({ name, shape: [1] }));
  const make = (parts: readonly Float32Array[]) => {
    seen.push(...parts.map((part) => [...part]));
    return Float32Array.of(7, 8, 9).subarray(1);
  };
  await loadWeight({ name: 'folded', shape: [2], dtype: 'bf16', tensors, make }, file, session);
  expect(seen).toEqual([
    [1, 2 ** -24, 65504, -2, -0, Number.POSITIVE_INFINITY],
    [1, -3, 2 ** 127 * (2 - 2 ** -7)],
    [Math.fround(0.1), -3],
  ]);
  expect(given).toEqual([{ name: 'folded', source: 'f32', dtype: 'bf16', shape: [2], values: [8, 9] }]);
});

it('are handed over as they are when they are one tensor', async () => {
  const { file, session, given } = places({ w: ['f32', Float32Array.of(1, 2)] });
  const tensors = [{ name: 'w', shape: [2] }];
  await loadWeight({ name: 'w', shape: [2], dtype: 'bf16', tensors }, file, session);
  expect(given).toEqual([{ name: 'w', source: 'f32', dtype: 'bf16', shape: [2], values: [1, 2] }]);
});
