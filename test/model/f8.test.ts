// Linear layers with operands of e4m3: what users see of them. Their arithmetic is tested natively (f8_graphs.h).
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Embedding, Graph, ops, Sam, Session } from '../../lib/index';
import { relativeL2 } from '../support/compare';

const DEMO = path.join(__dirname, '..', '..', 'examples', 'images', 'demo.png');

describe('f8', () => {
  let plain: Sam;
  let sam: Sam;
  let dir: string;
  beforeAll(async () => {
    plain = await Sam.load(undefined, { device: 'cpu' });
    sam = await Sam.load(undefined, { device: 'cpu', f8: true });
    dir = mkdtempSync(path.join(os.tmpdir(), 'ba-sam-f8-'));
  });
  afterAll(async () => {
    await Promise.all([plain?.dispose(), sam?.dispose()]);
    rmSync(dir, { recursive: true });
  });

  it('moves an embedding by about a hundredth, and says that it did', async () => {
    const expected = await plain.encode(DEMO);
    const embedding = await sam.encode(DEMO);
    const error = relativeL2(embedding.data, expected.data);
    expect(error).toBeGreaterThan(2e-3);
    expect(error).toBeLessThan(3e-2);
    expect([plain.f8, expected.f8, sam.f8, embedding.f8]).toEqual([false, false, true, true]);
  });

  it('is kept in the embedding and in its file', async () => {
    const embedding = await sam.encode(DEMO, { longestSide: 128 });
    const file = path.join(dir, 'demo.safetensors');
    await embedding.save(file);
    expect((await Embedding.load(file)).f8).toBe(true);
    expect(embedding.at(0).f8).toBe(true);
    await (await plain.encode(DEMO, { longestSide: 128 })).save(file);
    expect((await Embedding.load(file)).f8).toBe(false);
  });

  it('refuses what is no boolean', async () => {
    await expect(Sam.load(undefined, { f8: 'e4m3' as unknown as boolean })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining('f8'),
    });
  });

  it('asks for sides that are multiples of 16', async () => {
    const session = new Session({ device: 'cpu' });
    await session.setWeight('w', 'f32', 'f32', [16, 24], new Uint8Array(4 * 16 * 24));
    const build = (): Graph => {
      const graph = new Graph();
      graph.output(ops.linear(graph.input('x', [2, 24]), graph.weight('w', [16, 24]), { f8: true }));
      return graph;
    };
    await expect(session.run('f8', build, [new Float32Array(48)])).rejects.toMatchObject({
      code: 'ERR_GRAPH',
      message: expect.stringContaining('sides are multiples of 16 for f8, not [16, 24]'),
    });
    await session.dispose();
  });
});
