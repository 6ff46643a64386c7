// Embeddings of peers, [256, g, g] f32: read from a worker's file and compared.
import { readFileSync } from 'node:fs';

const CHANNELS = 256;
const PATCH = 16;

/** Largest relative L2 difference from the f32 reference at which a time is believed. */
export const TOLERANCE = { f32: 1e-3, bf16: 3e-2 };

/** @throws Error when there is no such file or its length is not that of an embedding of this size */
export function readEmbedding(file: string, size: number): Float32Array {
  const bytes = readFileSync(file);
  const expected = 4 * CHANNELS * (size / PATCH) ** 2;
  if (bytes.length !== expected) {
    throw new Error(`Expected an embedding of ${expected} bytes but found ${bytes.length}`);
  }
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/** ‖values‖ in double precision; NaN and infinity stay what they are. */
export function norm(values: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  return Math.sqrt(sum);
}

/** ‖values − reference‖ / ‖reference‖. */
export function relativeDifference(values: Float32Array, reference: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] - reference[i]) ** 2;
  return Math.sqrt(sum) / norm(reference);
}
