// Random weights and inputs for benchmarks: seeded, the same on every machine.
import { elementCount } from '../graph/graph';
import type { Session } from '../graph/session';
import { type ModelWeight, modelWeights, type SamConfig } from '../model/config';
import type { ComputeDType } from '../model/weights';
import { hash32 } from './hash32';

/** Fills `out` with numbers between −scale and scale. A linear congruential generator: hundreds of millions are needed. */
export function fillRandom(out: Float32Array, scale: number, seed: number): Float32Array {
  const factor = scale / 2 ** 31;
  let state = hash32(seed, 0, 0);
  for (let i = 0; i < out.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    out[i] = state * factor;
  }
  return out;
}

/** An array of numbers between −scale and scale. */
export function random(count: number, scale: number, seed: number): Float32Array {
  return fillRandom(new Float32Array(count), scale, seed);
}

/**
 * Every weight of a model, with numbers of such a size that activations neither grow nor vanish on their way through the
 * blocks.
 *
 * @yields a weight and its data; the next one reuses the memory of `data`
 */
export function* randomWeights(
  config: SamConfig,
  dtype: ComputeDType,
): Generator<{ readonly weight: ModelWeight; readonly data: Float32Array }> {
  const weights = modelWeights(config, dtype);
  // One buffer for all: what lies around until it is collected would be part of the peak that a benchmark reports.
  const buffer = new Float32Array(Math.max(...weights.map(({ shape }) => elementCount(shape))));
  for (const [index, weight] of weights.entries()) {
    const { shape } = weight;
    const count = elementCount(shape);
    const scale = shape.length > 1 ? Math.sqrt((3 * shape[0]) / count) * 0.5 : 1;
    yield { weight, data: fillRandom(buffer.subarray(0, count), scale, index + 1) };
  }
}

/** Gives a session every weight of a model, in the dtypes that `Sam.load` would choose. */
export async function setRandomWeights(session: Session, config: SamConfig, dtype: ComputeDType) {
  for (const { weight, data } of randomWeights(config, dtype)) {
    await session.setWeight(weight.name, 'f32', weight.dtype, weight.shape, bytesOf(data));
  }
}

/** The bytes of an array, shared. */
export function bytesOf(array: Float32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
