// Ends that are not the happy one: disposing, aborting, failing callbacks, two models, all while runs are in flight.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { Sam } from '../../lib/index';

// Large enough to run for a while (a 96 × 96 grid), so that everything below really happens in flight.
const SIZE = 1536;
const pixels = {
  pixelValues: new Float32Array(3 * SIZE * SIZE).fill(0.25),
  shape: [1, 3, SIZE, SIZE] as const,
};
const PICTURE = path.join(__dirname, '../../examples/images/demo.png');
const small = { pixelValues: new Float32Array(3 * 256 * 256).fill(0.25), shape: [1, 3, 256, 256] as const };

describe('dispose', () => {
  it('rejects runs in flight and queued ones with ERR_DISPOSED, then everything else', async () => {
    const sam = await Sam.load();
    const running = sam.encode(pixels);
    const queued = sam.encode(pixels);
    const outcomes = Promise.allSettled([running, queued]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await sam.dispose();
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: { name: 'SamError', code: 'ERR_DISPOSED' },
      });
    }
    await expect(sam.encode(small)).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
    await sam.dispose();
  });

  it('works through `await using` semantics', async () => {
    const sam = await Sam.load();
    await sam[Symbol.asyncDispose]();
    await expect(sam.encode(small)).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
  });

  it('of one model leaves another alone', async () => {
    const [a, b] = await Promise.all([Sam.load(), Sam.load()]);
    const wanted = await b.encode(small);
    const doomed = a.encode(pixels).catch((error) => error);
    const kept = b.encode(small);
    await a.dispose();
    expect(await doomed).toMatchObject({ code: 'ERR_DISPOSED' });
    expect((await kept).data).toEqual(wanted.data);
    await b.dispose();
  });
});

describe('abort', () => {
  it("rejects at once with the signal's reason and leaves the model usable", async () => {
    const sam = await Sam.load();
    const controller = new AbortController();
    const reason = new Error('enough');
    const events: string[] = [];
    // The run is going on, and far from its end.
    let abort = () => {
      controller.abort(reason);
      setImmediate(() => events.push('next turn'));
    };
    const onProgress = () => {
      abort();
      abort = () => {};
    };
    const run = sam.encode(pixels, { signal: controller.signal, onProgress });
    run.catch(() => events.push('rejected'));
    await expect(run).rejects.toBe(reason);
    await new Promise((resolve) => setImmediate(resolve));
    expect(events).toEqual(['rejected', 'next turn']);
    expect((await sam.encode(small)).gridH).toBe(16);
    await sam.dispose();
  });

  it('before the call starts nothing', async () => {
    const sam = await Sam.load();
    await expect(sam.encode(small, { signal: AbortSignal.abort('no') })).rejects.toBe('no');
    await expect(Sam.load(undefined, { signal: AbortSignal.abort('no') })).rejects.toBe('no');
    await sam.dispose();
  });
});

describe('onProgress', () => {
  it('rises to 1', async () => {
    const sam = await Sam.load();
    const seen: number[] = [];
    await sam.encode(
      { pixelValues: new Float32Array(3 * 768 * 768), shape: [1, 3, 768, 768] },
      { onProgress: (f) => seen.push(f) },
    );
    expect(seen.length).toBeGreaterThan(0);
    expect(seen).toEqual([...seen].sort((x, y) => x - y));
    expect(seen.at(-1)).toBeCloseTo(1, 5);
    await sam.dispose();
  });

  it('that throws ends the run with that error', async () => {
    const sam = await Sam.load();
    const failure = new Error('from the callback');
    const run = sam.encode(pixels, {
      onProgress: () => {
        throw failure;
      },
    });
    await expect(run).rejects.toBe(failure);
    expect((await sam.encode(small)).gridH).toBe(16);
    await sam.dispose();
  });
});

// Equality by vitest, when it fails, takes minutes over an embedding.
const sameBytes = (a: Float32Array, b: Float32Array) => Buffer.from(a.buffer).equals(Buffer.from(b.buffer));

describe('inputs', () => {
  it('are copied at call time', async () => {
    const sam = await Sam.load();
    const values = Float32Array.from({ length: 3 * 256 * 256 }, (_, i) => Math.sin(i));
    const wanted = await sam.encode({ pixelValues: values.slice(), shape: [1, 3, 256, 256] });
    const run = sam.encode({ pixelValues: values, shape: [1, 3, 256, 256] });
    values.fill(0);
    expect((await run).data).toEqual(wanted.data);
    const raw = {
      data: new Uint8Array(64 * 48 * 3).map((_, i) => i % 251),
      width: 64,
      height: 48,
      channels: 3 as const,
    };
    const first = await sam.encode({ ...raw, data: raw.data.slice() });
    const second = sam.encode(raw);
    raw.data.fill(0);
    expect((await second).data).toEqual(first.data);
    await sam.dispose();
  });

  // A Buffer's own slice() shares its memory.
  it.each([
    ['RGB in a Buffer', 3, (bytes: Uint8Array) => Buffer.from(bytes)],
    ['RGB in a Uint8ClampedArray', 3, (bytes: Uint8Array) => Uint8ClampedArray.from(bytes)],
    ['RGB of 16 bits', 3, (bytes: Uint8Array) => Uint16Array.from(bytes, (value) => 256 * value)],
    ['RGBA in a Buffer', 4, (bytes: Uint8Array) => Buffer.from(bytes)],
    ['gray', 1, (bytes: Uint8Array) => bytes.slice()],
  ] as const)('of raw pixels may change when the call has returned: %s', async (_name, channels, make) => {
    await using sam = await Sam.load();
    const bytes = new Uint8Array(64 * 48 * channels).map((_, i) => i % 251);
    const raw = () => ({ data: make(bytes), width: 64, height: 48, channels });
    const wanted = await sam.encode(raw());
    const image = raw();
    const run = sam.encode(image);
    image.data.fill(0);
    expect(sameBytes((await run).data, wanted.data)).toBe(true);
  });

  it.each([
    ['Buffer', (bytes: Uint8Array) => Buffer.from(bytes)],
    ['ArrayBuffer', (bytes: Uint8Array) => Uint8Array.from(bytes).buffer],
    [
      'ArrayBuffer of another realm',
      (bytes: Uint8Array) => {
        const foreign = runInNewContext('(length) => new ArrayBuffer(length)')(bytes.length);
        new Uint8Array(foreign).set(bytes);
        return foreign;
      },
    ],
  ])('of an encoded image may change when the call has returned: %s', async (_name, make) => {
    await using sam = await Sam.load();
    const png = readFileSync(PICTURE);
    const wanted = await sam.encode(png);
    const image = make(png);
    const run = sam.encode(image);
    if (Buffer.isBuffer(image)) image.fill(0);
    else new Uint8Array(image).fill(0);
    expect(sameBytes((await run).data, wanted.data)).toBe(true);
  });

  it('run after run give bit-identical results', async () => {
    const sam = await Sam.load();
    const values = Float32Array.from({ length: 3 * 256 * 320 }, (_, i) => Math.sin(0.1 * i));
    const image = { pixelValues: values, shape: [1, 3, 256, 320] as const };
    const first = await sam.encode(image, { lengthScale: true });
    for (let i = 0; i < 3; i++)
      expect((await sam.encode(image, { lengthScale: true })).data).toEqual(first.data);
    await sam.dispose();
  });
});
