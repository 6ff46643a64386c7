// safetensors: files of the official writer, our writer, and everything that must be refused.
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { open, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type CheckpointDType, openCheckpoint } from '../../lib/checkpoint/checkpoint';
import { type TensorToWrite, writeSafetensors } from '../../lib/checkpoint/write-safetensors';
import { longestTurn } from '../support/event-loop';
import { fixtures, readAll, refusal, Scratch } from './helpers';
import { makeSafetensors } from './make-zip';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const expected: Record<string, { shape: number[]; hex: string }> = JSON.parse(
  readFileSync(join(fixtures, 'expected.json'), 'utf8'),
);

const refused = (bytes: Uint8Array | string) => refusal(scratch.write(bytes));

describe('files of the official writer', () => {
  test('every dtype, shape and byte', async () => {
    const file = await readAll(join(fixtures, 'dtypes.safetensors'));
    expect(file.format).toBe('safetensors');
    expect({ ...file.metadata }).toEqual({ about: 'every "dtype"' });
    expect(file.tensors.size).toBe(15);
    for (const [name, info] of file.tensors) {
      const dtype = name === 'scalar' || name === 'empty' ? 'f32' : name;
      expect(info).toMatchObject({ name, dtype, shape: expected[`s/${name}`]!.shape });
      expect(info.byteLength).toBe(file.data.get(name)!.length);
      expect(Buffer.from(file.data.get(name)!).toString('hex')).toBe(expected[`s/${name}`]!.hex);
    }
  });

  test('our writer gives the same file', async () => {
    const path = join(fixtures, 'dtypes.safetensors');
    const file = await readAll(path);
    const tensors = [...file.tensors.values()]
      .reverse()
      .map((info) => ({ ...info, data: file.data.get(info.name)! }));
    const copy = scratch.path('copy.safetensors');
    await writeSafetensors(copy, tensors, file.metadata);
    expect(readFileSync(copy).equals(readFileSync(path))).toBe(true);
  });

  test('reads are fresh buffers, and end with close', async () => {
    const checkpoint = await openCheckpoint(join(fixtures, 'dtypes.safetensors'));
    const [a, b] = await Promise.all([checkpoint.read('f32'), checkpoint.read('f32')]);
    expect(a).toEqual(b);
    expect(a!.buffer).not.toBe(b!.buffer);
    expect(a!.buffer.byteLength).toBe(96);
    await expect(checkpoint.read('toString')).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    await checkpoint.close();
    await checkpoint.close();
    await expect(checkpoint.read('f32')).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
  });
});

describe('writer', () => {
  const one: TensorToWrite = { name: 'w', dtype: 'f32', shape: [2], data: Float32Array.of(1, 2) };

  test('round trip with odd names, a view of a larger buffer, scalars and nothing at all', async () => {
    const path = scratch.path('round.safetensors');
    const floats = Float32Array.of(9, 1, 2, 9);
    await writeSafetensors(
      path,
      [
        { name: '__proto__', dtype: 'f32', shape: [2], data: floats.subarray(1, 3) },
        { name: 'a "quoted"\nnäme \u{1f600}', dtype: 'u8', shape: [], data: Uint8Array.of(7) },
        { name: '', dtype: 'bf16', shape: [0, 3], data: new Uint8Array(0) },
      ],
      JSON.parse('{"__proto__": "x", "b": "\\n"}'),
    );
    const file = await readAll(path);
    expect([...file.tensors.keys()]).toEqual(['__proto__', '', 'a "quoted"\nnäme \u{1f600}']);
    expect(new Float32Array(file.data.get('__proto__')!.buffer as ArrayBuffer)).toEqual(
      Float32Array.of(1, 2),
    );
    expect(Object.keys(file.metadata)).toEqual(['__proto__', 'b']);
    await writeSafetensors(path, []);
    expect((await readAll(path)).tensors.size).toBe(0);
  });

  test('is atomic: a failure leaves the old file and no other', async () => {
    const folder = scratch.path('atomic');
    mkdirSync(folder);
    const path = join(folder, 'w.safetensors');
    await writeSafetensors(path, [one]);
    const before = readFileSync(path);
    mkdirSync(join(folder, 'taken'));
    await expect(writeSafetensors(join(folder, 'taken'), [one])).rejects.toMatchObject({ code: 'ERR_IO' });
    await expect(writeSafetensors(join(folder, 'no', 'such', 'folder'), [one])).rejects.toThrow(
      /^Cannot write .*no\/such\/folder: the directory .*no\/such does not exist$/,
    );
    await writeSafetensors(path, [one]);
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(['taken', 'w.safetensors']);
  });

  test.each([
    ['a name twice', [one, one], 'a different name'],
    ['__metadata__', [{ ...one, name: '__metadata__' }], 'other than __metadata__'],
    ['half a surrogate pair', [{ ...one, name: '\ud800' }], 'well-formed'],
    ['a wrong size', [{ ...one, shape: [3] }], 'Uint8Array of 12 bytes or Float32Array of 3 elements'],
    ['an unknown dtype', [{ ...one, dtype: 'f31' as CheckpointDType }], 'element type'],
    ['a negative size', [{ ...one, shape: [-2, -1] }], 'non-negative'],
    ['an overflowing shape', [{ ...one, shape: [2 ** 40, 2 ** 40] }], 'non-negative'],
    ['floats as f16', [{ ...one, dtype: 'f16' as const, shape: [4] }], 'Uint8Array of 8 bytes'],
  ])('refuses %s and names the path', async (_, tensors, message) => {
    const path = scratch.path('refused.safetensors');
    const error = await writeSafetensors(path, tensors as TensorToWrite[]).catch((e) => e);
    expect(error).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(error.message).toContain(message);
    expect(error.message).toContain(path);
    expect(existsSync(path)).toBe(false);
  });
});

describe('refusals', () => {
  const u8 = (begin: number, end: number) => ({
    dtype: 'U8',
    shape: [end - begin],
    data_offsets: [begin, end],
  });
  const data = new Uint8Array(8);

  test.each<[string, unknown, RegExp, Uint8Array?]>([
    ['overlap', { a: u8(0, 5), b: u8(4, 8) }, /"a" and "b" overlap/],
    ['the same bytes twice', { a: u8(0, 8), b: u8(0, 8) }, /"a" and "b" overlap/],
    ['one inside another', { a: u8(0, 8), b: u8(2, 4) }, /overlap|gap|belong to no/],
    ['a gap', { a: u8(0, 3), b: u8(4, 8) }, /gap: no tensor starts at byte 3/],
    ['a gap at the start', { a: u8(1, 8) }, /gap: no tensor starts at byte 0/],
    ['bytes at the end', { a: u8(0, 7) }, /1 bytes that belong to no tensor/],
    ['only bytes', {}, /8 bytes that belong to no tensor/],
    ['an end beyond the file', { a: u8(0, 9) }, /truncated: tensor "a" ends at byte 9 of 8/],
    ['an empty tensor inside another', { a: u8(0, 8), b: u8(3, 3) }, /empty tensor "b" lies inside/],
    [
      'shape and span that disagree',
      { a: { ...u8(0, 8), shape: [7] } },
      /needs 7 bytes but has data_offsets \[0, 8\]/,
    ],
    ['reversed offsets', { a: { dtype: 'U8', shape: [0], data_offsets: [8, 0] } }, /data_offsets \[8, 0\]/],
    ['an overflowing shape', { a: { ...u8(0, 8), shape: [2 ** 40, 2 ** 40] } }, /no valid size/],
    [
      'an overflowing empty shape',
      { a: { dtype: 'U8', shape: [2 ** 40, 2 ** 40, 0], data_offsets: [0, 0] } },
      /no valid size/,
    ],
    ['a negative size', { a: { ...u8(0, 8), shape: [-8] } }, /non-negative integer/],
    ['a fraction', { a: { ...u8(0, 8), shape: [8.5] } }, /non-negative integer/],
    [
      'a size of 2^53',
      '{"a":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,8]}}',
      /non-negative integer/,
    ],
    ['a leading zero', '{"a":{"dtype":"U8","shape":[08],"data_offsets":[0,8]}}', /non-negative integer/],
    ['a string as size', { a: { ...u8(0, 8), shape: ['8'] } }, /non-negative integer/],
    ['too many dimensions', { a: { ...u8(0, 8), shape: new Array(65).fill(1) } }, /more than 64/],
    ['an unknown dtype', { a: { ...u8(0, 8), dtype: 'U9' } }, /unknown dtype "U9"/],
    ['a lower-case dtype', { a: { ...u8(0, 8), dtype: 'u8' } }, /unknown dtype/],
    ['an inherited name as dtype', { a: { ...u8(0, 8), dtype: '__proto__' } }, /unknown dtype/],
    ['no dtype', { a: { shape: [8], data_offsets: [0, 8] } }, /needs dtype/],
    ['no offsets', { a: { dtype: 'U8', shape: [8] } }, /needs dtype, shape and two data_offsets/],
    ['one offset', { a: { ...u8(0, 8), data_offsets: [0] } }, /two data_offsets/],
    ['half a byte', { a: { dtype: 'F4', shape: [15], data_offsets: [0, 8] } }, /no valid size/],
    [
      'a tensor twice',
      `{"a":${JSON.stringify(u8(0, 4))},"a":${JSON.stringify(u8(4, 8))}}`,
      /"a" appears twice/,
    ],
    ['a field twice', '{"a":{"dtype":"U8","dtype":"U8","shape":[8],"data_offsets":[0,8]}}', /dtype twice/],
    ['metadata twice', '{"__metadata__":{},"__metadata__":{}}', /__metadata__ appears twice/],
    ['a metadata key twice', '{"__metadata__":{"a":"1","a":"2"}}', /"a" appears twice/],
    ['metadata that is not text', { __metadata__: { a: 1 } }, /expected "\\""/],
    ['an array', '[]', /neither a safetensors/],
    ['an unfinished header', '{"a":', /expected/],
    ['something after the header', '{} x', /follows the header/],
    ['a comma too many', `{"a":${JSON.stringify(u8(0, 8))},}`, /expected "\\""/],
    ['a deep unknown field', `{"a":{"x":${'['.repeat(50)}${']'.repeat(50)}}}`, /unknown field is too large/],
    ['a lone surrogate', '{"\\ud800":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}', /surrogate/],
    ['an invalid escape', '{"\\x41":1}', /invalid escape/],
    ['a control character', '{"a\n":1}', /control character/],
    ['a long name', { ['n'.repeat(5000)]: u8(0, 8) }, /longer than 4096/],
  ])('%s', async (_, header, message) => {
    expect(await refused(makeSafetensors(header, data))).toMatch(message);
  });

  test('invalid UTF-8 in a name', async () => {
    const file = makeSafetensors('{"a_":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}', data);
    file[file.indexOf('_')] = 0xff;
    expect(await refused(file)).toMatch(/UTF-8/);
  });

  test('a header length beyond the file or the format', async () => {
    expect(await refused(makeSafetensors({}, data, 1000n))).toMatch(
      /truncated: safetensors header of 1000 bytes/,
    );
    expect(await refused(makeSafetensors({}, data, 100_000_001n))).toMatch(/longer than 100000000/);
    expect(await refused(makeSafetensors({}, data, 2n ** 63n))).toMatch(/longer than 100000000/);
  });

  test('unknown fields and null metadata are harmless', async () => {
    const header = { __metadata__: null, a: { ...u8(0, 8), more: { x: [1.5e3, -1, true, null, 'y', {}] } } };
    expect((await readAll(scratch.write(makeSafetensors(header, data)))).tensors.size).toBe(1);
  });

  test('hostile names do not reach a prototype', async () => {
    const header = `{"__metadata__":{"__proto__":"m"},"__proto__":${JSON.stringify(u8(0, 4))},"constructor":${JSON.stringify(u8(4, 8))}}`;
    const file = await readAll(scratch.write(makeSafetensors(header, data)));
    expect([...file.tensors.keys()]).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(file.metadata)).toBe(null);
    expect(({} as Record<string, unknown>).dtype).toBe(undefined);
  });

  test('truncation at every byte', async () => {
    const whole = readFileSync(join(fixtures, 'dtypes.safetensors'));
    for (let length = 0; length < whole.length; length++) await refused(whole.subarray(0, length));
  });
});

describe('size', () => {
  test('a large sparse file opens, and one tensor reads, in little memory', async () => {
    const count = 100;
    const bytes = 2 * 1024 * 1024;
    const header: Record<string, unknown> = {};
    for (let i = 0; i < count; i++) {
      header[`t${i}`] = { dtype: 'F32', shape: [bytes / 4], data_offsets: [i * bytes, (i + 1) * bytes] };
    }
    const path = scratch.write(makeSafetensors(header));
    const start = readFileSync(path).length;
    await truncate(path, start + count * bytes);
    const handle = await open(path, 'r+');
    await handle.write(Buffer.from([1, 2, 3, 4]), 0, 4, start + 57 * bytes);
    await handle.close();

    const before = process.memoryUsage().rss;
    const checkpoint = await openCheckpoint(path);
    const tensor = await checkpoint.read('t57');
    const growth = process.memoryUsage().rss - before;
    await checkpoint.close();
    expect([...tensor.subarray(0, 5)]).toEqual([1, 2, 3, 4, 0]);
    expect(growth).toBeLessThan(60 * 1024 * 1024);
  });

  test('a large header does not hold up the event loop', async () => {
    const parts: string[] = [];
    for (let i = 0; i < 90_000; i++)
      parts.push(`"tensor.number.${i}":{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`);
    const path = scratch.write(makeSafetensors(`{${parts.join(',')}}`, new Uint8Array(90_000)));
    const longest = await longestTurn(async () => {
      const checkpoint = await openCheckpoint(path);
      expect(checkpoint.tensors.size).toBe(90_000);
      await checkpoint.close();
    });
    expect(longest).toBeLessThan(0.3);
  });
});
