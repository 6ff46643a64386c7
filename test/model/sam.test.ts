// Loading, prompts, embeddings: what is refused and how, and that files keep what they were given.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors';
import {
  BUNDLED_MODEL,
  Embedding,
  type LoadOptions,
  type ProfileRow,
  type Prompt,
  Sam,
} from '../../lib/index';

const DEMO = path.join(__dirname, '..', '..', 'examples', 'images', 'demo.png');
const GOLDEN = path.join(__dirname, '..', 'fixtures', 'golden');

let dir: string;
let sam: Sam;
let embedding: Embedding;
beforeAll(async () => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'ba-sam-'));
  sam = await Sam.load();
  embedding = await sam.encode(DEMO);
});
afterAll(async () => {
  await sam.dispose();
  rmSync(dir, { recursive: true });
});

describe('Sam.load', () => {
  it('infers the bundled model', () => {
    expect(sam.config).toMatchObject({
      width: 192,
      depth: 6,
      heads: 3,
      headDim: 64,
      window: 8,
      globalBlocks: [2, 5],
    });
    expect(sam.config.trainedSide_px).toBe(256);
    expect([sam.device, sam.dtype]).toEqual(['cpu', 'f32']);
  });

  it('reports progress up to 1', async () => {
    const seen: number[] = [];
    await (await Sam.load(BUNDLED_MODEL, { onProgress: (f) => seen.push(f) })).dispose();
    expect(seen.at(-1)).toBe(1);
  });

  it('loads an encoder without a decoder, and says so when asked for masks', async () => {
    const encoder = await Sam.load(path.join(GOLDEN, 'd80.safetensors'));
    const encoded = await encoder.encode(DEMO, { longestSide: 160 });
    expect(encoded.shape).toEqual([1, 32, 10, 10]);
    await expect(encoder.predict(encoded, { points: [[1, 1]] })).rejects.toThrow('image encoder only');
    await encoder.dispose();
  });

  const refusals: [string, LoadOptions, string, RegExp][] = [
    ['cuda', { device: 'cuda' }, 'ERR_DEVICE_UNAVAILABLE', /Device cuda cannot be used: .*CUDA/],
    [
      'an unknown device',
      { device: 'tpu' as 'cpu' },
      'ERR_INVALID_ARGUMENT',
      /Expected auto, cpu, cuda or cuda:<index> for device/,
    ],
    ['f16 on the CPU', { dtype: 'f16' }, 'ERR_DEVICE_UNAVAILABLE', /f32 or bf16/],
    ['tf32 on the CPU', { tf32: true }, 'ERR_DEVICE_UNAVAILABLE', /no tf32 on the CPU/],
    [
      'tf32 with bf16',
      { tf32: true, dtype: 'bf16' },
      'ERR_INVALID_ARGUMENT',
      /no tf32 together with dtype bf16/,
    ],
    ['an unknown dtype', { dtype: 'f64' as 'f32' }, 'ERR_INVALID_ARGUMENT', /one of: f32, bf16, f16/],
    [
      'wrong slopes',
      { distance: { metric: 'manhattan', slopes: [1] } },
      'ERR_INVALID_ARGUMENT',
      /1 or 3 slopes .* received 1 in a list: give it as a number/,
    ],
    ['an unknown option', { dtpye: 'f32' } as LoadOptions, 'ERR_INVALID_ARGUMENT', /dtpye/],
  ];
  it.each(refusals)('refuses %s', async (_, options, code, message) => {
    await expect(Sam.load(undefined, options)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  it('takes options without a path, and nothing else in their place', async () => {
    const bundled = await Sam.load({ device: 'cpu', lengthScale: true });
    const { settings } = await bundled.encode(DEMO, { longestSide: 64 });
    expect(settings.lengthScale).toBe(true);
    await bundled.dispose();
    await expect(Sam.load({ dtpye: 'bf16' } as LoadOptions)).rejects.toThrow(
      /dtpye \(did you mean dtype\?\)$/,
    );
    // Objects without unknown options, too: they are paths or bytes to whoever passes them.
    for (const wrong of [new URL(`file://${BUNDLED_MODEL}`), Buffer.from('x'), new Map(), null]) {
      await expect(Sam.load(wrong as never)).rejects.toThrow(/^Expected path of a checkpoint for checkpoint/);
    }
    await expect(Sam.load({} as never, {})).rejects.toThrow(/^Expected path of a checkpoint for checkpoint/);
  });

  it('names file, key and expectation when a checkpoint is damaged or wrong', async () => {
    const missing = path.join(dir, 'missing.safetensors');
    await expect(Sam.load(missing)).rejects.toMatchObject({
      code: 'ERR_IO',
      message: expect.stringContaining(missing),
    });
    const truncated = path.join(dir, 'truncated.safetensors');
    writeFileSync(truncated, readFileSync(BUNDLED_MODEL));
    truncateSync(truncated, 1_000_000);
    await expect(Sam.load(truncated)).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
      message: expect.stringContaining(truncated),
    });
    await expect(Sam.load(DEMO)).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
      message: expect.stringMatching(/PNG/),
    });
    await expect(Sam.load('')).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });
});

describe('prompts', () => {
  const refusals: [string, unknown, RegExp][] = [
    ['nothing', {}, /Expected points, a box or a mask for prompt/],
    ['no points', { points: [] }, /Expected points, a box or a mask/],
    [
      'a point outside',
      { points: [[769, 10]] },
      /inside the image of 768 × 576 px for prompt.points.0 but received 769, 10/,
    ],
    ['a negative point', { points: [[-1, 10]] }, /inside the image/],
    ['a point just too far outside', { points: [[10, 576.501]] }, /inside the image/],
    [
      'a box within half a pixel outside',
      { box: [-0.5, 1, -0.1, 9] },
      /box inside the image .* -0.5, 1, -0.1, 9/,
    ],
    ['NaN', { points: [[Number.NaN, 1]] }, /Expected \[x, y\] or \[x, y, label\]/],
    ['label 2', { points: [[1, 1, 2]] }, /label 0 or 1/],
    [
      'a reversed box',
      { box: [50, 50, 10, 60] },
      /x0 < x1 and y0 < y1 for prompt.box but received 50, 50, 10, 60/,
    ],
    ['a box outside', { box: [0, 0, 10, 577] }, /inside the image/],
    ['three numbers for a box', { box: [1, 2, 3] }, /\[x0, y0, x1, y1\]/],
    [
      'a mask of another size',
      { mask: new Float32Array(5) },
      /logits \[64, 64\] for prompt.mask but received 5 values/,
    ],
    ['a mask with NaN', { mask: new Float32Array(4096).fill(Number.NaN) }, /finite logits/],
    ['an unknown part', { point: [[1, 1]] }, /known options/],
    ['a string', 'left', /Expected object/],
    ['null', null, /Expected object/],
  ];
  it.each(refusals)('%s', async (_, prompt, message) => {
    await expect(sam.predict(embedding, prompt as Prompt)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    });
  });

  it('moves what lies half a pixel outside to the edge', async () => {
    for (const [given, same] of [
      [{ box: [-0.5, -0.001, 768.5, 576.25] }, { box: [0, 0, 768, 576] }],
      [{ points: [[768.5, -0.5]] }, { points: [[768, 0]] }],
    ] as [Prompt, Prompt][]) {
      const [a, b] = [await sam.predict(embedding, given), await sam.predict(embedding, same)];
      expect(a.best.lowRes).toEqual(b.best.lowRes);
    }
  });

  it('names the prompt of a list', async () => {
    const list = [{ points: [[1, 1]] as [number, number][] }, {}];
    await expect(sam.predict(embedding, list)).rejects.toThrow('prompts.1');
    expect(await sam.predict(embedding, [])).toEqual([]);
  });
});

describe('Embedding', () => {
  it('survives a file with everything that predict needs', async () => {
    const file = path.join(dir, 'e.safetensors');
    const options = {
      longestSide: 320,
      pad: false,
      lengthScale: true,
      distance: { metric: 'manhattan', slopes: 'alibi' },
    } as const;
    const made = await sam.encode(DEMO, options);
    await made.save(file);
    const read = await Embedding.load(file);
    expect({ ...made }).toEqual({ ...read, name: DEMO });
    expect(read.name).toBe(file);
    const prompt: Prompt = { box: [385, 36, 555, 362] };
    const [a, b] = [await sam.predict(made, prompt), await sam.predict(read, prompt)];
    expect(b.best.lowRes).toEqual(a.best.lowRes);
    expect(b.best.data).toEqual(a.best.data);
  });

  it('refuses files that are not embeddings', async () => {
    await expect(Embedding.load(BUNDLED_MODEL)).rejects.toMatchObject({ code: 'ERR_EMBEDDING' });
    const write = async (name: string, shape: number[], metadata: Record<string, string>) => {
      const file = path.join(dir, name);
      const data = new Float32Array(shape.reduce((x, y) => x * y, 1));
      await writeSafetensors(file, [{ name: 'image_embeddings', dtype: 'f32', shape, data }], metadata);
      return file;
    };
    const good = {
      image: { width: 8, height: 8 },
      content: { width: 8, height: 8 },
      input: { width: 16, height: 16 },
      dtype: 'f32',
      settings: { mode: 'paper', lengthScale: false, distance: null },
    };
    const info = (change: object) => ({
      format: 'ba-sam-embedding-1',
      info: JSON.stringify({ ...good, ...change }),
    });
    expect((await Embedding.load(await write('ok', [1, 4, 1, 1], info({})))).channels).toBe(4);
    for (const [name, shape, metadata, message] of [
      ['rank', [4, 1, 1], info({}), /\[B, C, Gh, Gw\]/],
      ['format', [1, 4, 1, 1], {}, /format/],
      ['json', [1, 4, 1, 1], { format: 'ba-sam-embedding-1', info: '{' }, /JSON/],
      ['size', [1, 4, 1, 1], info({ image: { width: 0, height: 1 } }), /image.width/],
      [
        'content',
        [1, 4, 1, 1],
        info({ content: { width: 99, height: 1 } }),
        /at most 16 like info.input for info.content.width but received 99/,
      ],
      ['settings', [1, 4, 1, 1], info({ settings: { mode: 'x' } }), /settings.mode/],
    ] as const) {
      const file = await write(`bad-${name}`, [...shape], metadata);
      await expect(Embedding.load(file)).rejects.toMatchObject({
        code: 'ERR_EMBEDDING',
        message: expect.stringMatching(message),
      });
    }
  });

  it('of another model is refused', async () => {
    const { shape, data } = embedding;
    const other = new Embedding(data.subarray(0, 32 * 256), [1, 32, shape[2], shape[3]], embedding);
    await expect(sam.predict(other, { points: [[1, 1]] })).rejects.toThrow(
      'Expected an embedding [1, 256, Gh, Gw]',
    );
    await expect(sam.predict({} as Embedding, { points: [[1, 1]] })).rejects.toThrow('Expected Embedding');
  });
});

describe('pixel values', () => {
  it.each([
    [{ pixelValues: new Float32Array(768) }, /Expected \[B, 3, H, W\] .* for shape but received undefined/],
    [
      { pixelValues: new Float32Array(256), shape: [1, 1, 16, 16] },
      /multiples of 16 for shape but received \[1,1,16,16\]/,
    ],
    [
      { pixelValues: new Float32Array(3), shape: [1, 3, 16, 16] },
      /Float32Array of 768 values for pixelValues/,
    ],
  ])('are refused when they do not fit their shape', async (image, message) => {
    await expect(sam.encode(image as never)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    });
  });
});

describe('segment', () => {
  it('is encode and predict in one call', async () => {
    const options = { longestSide: 320, pad: false, multimask: true } as const;
    const once = await sam.segment(DEMO, { points: [[200, 200]] }, options);
    const encoded = await sam.encode(DEMO, { longestSide: 320, pad: false });
    const twice = await sam.predict(encoded, { points: [[200, 200]] }, { multimask: true });
    expect(once.best.data).toEqual(twice.best.data);
    expect(once.masks.length).toBe(3);
    expect([once.best.width, once.best.height]).toEqual([768, 576]);
  });

  it('profiles both halves', async () => {
    const ops = new Set<string>();
    const onProfile = (rows: readonly ProfileRow[]) => {
      for (const { op } of rows) ops.add(op);
    };
    await sam.segment(DEMO, { points: [[200, 200]] }, { onProfile });
    expect(ops).toContain('patchEmbed');
    expect(ops).toContain('upsampleMasks');
  });

  it.each([
    [{ multimask: 1 }, /Expected boolean for options\.multimask but received 1/],
    [{ nothing: 1 }, /Expected known options for options but received nothing$/],
    [
      { mutlimask: true, longestside: 1 },
      /received mutlimask \(did you mean multimask\?\), longestside \(did you mean longestSide\?\)$/,
    ],
    [
      { distance: { metric: 'manhattan', slops: 1 } },
      /for options\.distance but received slops \(did you mean slopes\?\)$/,
    ],
    [null, /Expected object for options but received null/],
  ])('refuses %j before it reads the image', async (options, message) => {
    await expect(
      sam.segment('/not/there.png', { points: [[1, 1]] }, options as object),
    ).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT', message: expect.stringMatching(message) });
  });
});
