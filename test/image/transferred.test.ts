// Buffers that their owner transfers while a call is at work: other threads would read freed memory.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { decodeImage, Embedding, overlay, unionMasks, writeMaskPng, writeSafetensors } from '../../lib/index';
import { expectSamError } from './helpers';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'ba-sam-transferred-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Takes a buffer away from whoever reads it, and overwrites it as freed memory would be. */
function takeAway({ buffer }: { readonly buffer: ArrayBufferLike }): void {
  new Uint8Array(structuredClone(buffer, { transfer: [buffer as ArrayBuffer] })).fill(3);
}

const moved = (work: Promise<unknown>) =>
  expectSamError(work, 'ERR_INVALID_ARGUMENT', 'stay in place but it was transferred');

test.each([
  ['RGBA', new Uint8Array(400 * 300 * 4).fill(90), 4, 90],
  ['16-bit RGB', new Uint16Array(400 * 300 * 3).fill(90 * 256), 3, 90],
])('pixels of %s are decoded as they were', async (_name, data, channels, value) => {
  const work = decodeImage({ data, width: 400, height: 300, channels: channels as 3 | 4 });
  takeAway(data);
  const image = await work;
  expect(image.data.every((channel) => channel === value)).toBe(true);
});

test('an encoded file is decoded as it was', async () => {
  const flat = sharp({ create: { width: 40, height: 30, channels: 3, background: '#5a5a5a' } });
  const bytes = new Uint8Array(await flat.png().toBuffer());
  const work = decodeImage(bytes);
  takeAway(bytes);
  expect((await work).data.every((channel) => channel === 0x5a)).toBe(true);
});

test('large pixels are refused when they are gone', async () => {
  const data = new Uint8Array(4000 * 3000 * 4);
  const work = decodeImage({ data, width: 4000, height: 3000, channels: 4 });
  takeAway(data);
  await moved(work);
});

test('a mask is written as it was', async () => {
  const mask = new Uint8Array(400 * 300);
  const file = path.join(folder, 'mask.png');
  const work = writeMaskPng(file, mask, 400, 300);
  takeAway(mask);
  await work;
  expect((await sharp(file).raw().toBuffer()).every((value) => value === 0)).toBe(true);
});

test('drawing says what is gone', async () => {
  const mask = new Uint8Array(2000 * 1500).fill(1);
  const image = { data: new Uint8Array(3 * mask.length), width: 2000, height: 1500 };
  const drawing = overlay(image, [{ data: mask }]);
  takeAway(mask);
  await moved(drawing);
  const second = overlay(image, []);
  takeAway(image.data);
  await moved(second);
  const [a, b] = [new Uint8Array(1e7), new Uint8Array(1e7)];
  const union = unionMasks([a, b]);
  takeAway(b);
  await moved(union);
});

test('a file of tensors is complete or not there', async () => {
  const file = path.join(folder, 'x.safetensors');
  const data = new Float32Array(1000);
  const writing = writeSafetensors(file, [{ name: 'x', dtype: 'f32', shape: [1000], data }]);
  takeAway(data);
  await moved(writing);
  const size = { width: 64, height: 64 };
  const settings = { mode: 'paper', lengthScale: false, distance: null } as const;
  const info = { image: size, content: size, input: size, settings, dtype: 'f32' } as const;
  const embedding = new Embedding(new Float32Array(256 * 16), [1, 256, 4, 4], info);
  const saving = embedding.save(file);
  takeAway(embedding.data);
  await moved(saving);
  expect(await readdir(folder)).not.toContain('x.safetensors');
});
