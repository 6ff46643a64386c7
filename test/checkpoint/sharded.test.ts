// Checkpoints in several files: by their index, by their folder, and what contradicts itself.
import { mkdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { checkpointFiles, openCheckpoint } from '../../lib/checkpoint/checkpoint';
import { openSamCheckpoint } from '../../lib/checkpoint/keys';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors';
import { modelHash } from '../../lib/eval/model';
import { fixtures, readAll, refusal, Scratch } from './helpers';
import { floats, makeCheckpoint, op, pickleDict, tensor } from './make-zip';

const scratch = new Scratch();
afterAll(() => scratch.remove());
let count = 0;
const INDEX = 'model.safetensors.index.json';

/** A folder with these files. */
function folderOf(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = scratch.path(`model-${count++}`);
  mkdirSync(folder);
  for (const [name, data] of Object.entries(files)) writeFileSync(join(folder, name), data);
  return folder;
}

const shardName = (index: number) => `model-0000${index + 1}-of-00003.safetensors`;

/** A model in three files, as `save_pretrained(max_shard_size=…)` writes it. */
async function sharded(): Promise<{ folder: string; map: Record<string, string> }> {
  const whole = await readAll(join(fixtures, 'hf-sam.safetensors'));
  const folder = folderOf({});
  const map: Record<string, string> = {};
  const tensors = [...whole.tensors.values()];
  for (let shard = 0; shard < 3; shard++) {
    const part = tensors.filter((_, i) => Math.floor((3 * i) / tensors.length) === shard);
    for (const { name } of part) map[name] = shardName(shard);
    await writeSafetensors(
      join(folder, shardName(shard)),
      part.map(({ name, dtype, shape }) => ({ name, dtype, shape, data: whole.data.get(name)! })),
      { format: 'pt' },
    );
  }
  writeIndex(folder, map);
  return { folder, map };
}

function writeIndex(folder: string, map: unknown, more: object = { metadata: { total_size: 1 } }): string {
  const path = join(folder, INDEX);
  writeFileSync(path, `${JSON.stringify({ ...more, weight_map: map }, null, 2)}\n`);
  return path;
}

const tiny = (name: string) => {
  const header = JSON.stringify({ [name]: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } });
  const length = Buffer.alloc(8);
  length.writeUInt32LE(header.length);
  return Buffer.concat([length, Buffer.from(header), Buffer.alloc(4)]);
};

describe('a sharded model', () => {
  test('is the same as in one file, by its index and by its folder', async () => {
    const { folder } = await sharded();
    const whole = await readAll(join(fixtures, 'hf-sam.safetensors'));
    for (const path of [folder, `${folder}/`, join(folder, INDEX)]) {
      const { data, tensors, files, format } = await readAll(path);
      expect(format).toBe('safetensors');
      expect(files).toEqual(
        [INDEX, shardName(0), shardName(1), shardName(2)].map((name) => join(folder, name)),
      );
      expect(await checkpointFiles(path)).toEqual(files);
      expect([...tensors.keys()].sort()).toEqual([...whole.tensors.keys()].sort());
      for (const [name, bytes] of whole.data) expect([name, data.get(name)]).toEqual([name, bytes]);

      const model = await openSamCheckpoint(path);
      const one = await openSamCheckpoint(join(fixtures, 'hf-sam.safetensors'));
      expect(model.config).toEqual(one.config);
      await Promise.all([model.close(), one.close()]);
      await expect(model.read([...model.tensors.keys()][0]!)).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
      await expect(model.source.read('none')).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }
  });

  test('has another hash when one of its files has', async () => {
    const { folder } = await sharded();
    const before = await modelHash(folder);
    expect(before).toMatch(/^[0-9a-f]{64}$/);
    expect(await modelHash(join(folder, INDEX))).toBe(before);
    const file = join(folder, shardName(1));
    const bytes = readFileSync(file);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(file, bytes);
    // Hashes are kept by time, which may be too coarse to tell.
    utimesSync(file, 1, 1);
    expect(await modelHash(folder)).not.toBe(before);
  });

  test('may be of PyTorch files, and links as in a download cache', async () => {
    const w = pickleDict({ w: tensor({ numel: 6, shape: [6], strides: [1] }) });
    const folder = folderOf({ blob: makeCheckpoint(w, [floats(6)]) });
    symlinkSync('blob', join(folder, 'pytorch_model-00001-of-00001.bin'));
    writeFileSync(
      join(folder, 'pytorch_model.bin.index.json'),
      JSON.stringify({ weight_map: { w: 'pytorch_model-00001-of-00001.bin' } }),
    );
    const { data, format } = await readAll(folder);
    expect(format).toBe('pytorch-zip');
    expect(new Float32Array(data.get('w')!.buffer as ArrayBuffer)).toEqual(Float32Array.of(0, 1, 2, 3, 4, 5));
  });

  test('a folder with one file is that file, before any index', async () => {
    const folder = folderOf({ 'model.safetensors': tiny('w'), [INDEX]: '{}' });
    const { files, tensors } = await readAll(folder);
    expect(files).toEqual([join(folder, 'model.safetensors')]);
    expect([...tensors.keys()]).toEqual(['w']);
    expect(await refusal(folderOf({ 'other.safetensors': tiny('w') }))).toMatch(
      /is a directory without model\.safetensors or model\.safetensors\.index\.json/,
    );
  });
});

describe('an index that is wrong', () => {
  const files = { 'a.safetensors': tiny('a'), 'b.safetensors': tiny('b') };
  test.each<[string, unknown, RegExp]>([
    [
      'a tensor that is not in its file',
      { a: 'b.safetensors' },
      /expected "a" in "b\.safetensors" but it is not there/,
    ],
    ['a tensor that the index leaves out', { a: 'a.safetensors', x: 'b.safetensors' }, /expected "x" in "b/],
    ['no tensors', {}, /holds no tensors/],
    ['a list', [], /expected "\{" at byte \d+/],
    ['a number as file', { a: 1 }, /expected "\\"" at byte/],
    ['a file above', { a: '../a.safetensors' }, /names of files beside it but found "\.\.\/a\.safetensors"/],
    ['a file elsewhere', { a: '/etc/passwd' }, /names of files beside it/],
    ['a file of another system', { a: '..\\a' }, /names of files beside it/],
    ['the folder itself', { a: '.' }, /names of files beside it/],
    ['no name', { a: '' }, /names of files beside it/],
    [
      'very many files',
      Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`${i}`, `${i}`])),
      /at most 256 files but found 257/,
    ],
  ])('%s', async (_, map, message) => {
    const folder = folderOf(files);
    expect(await refusal(writeIndex(folder, map))).toMatch(message);
  });

  test('tensors that stand in two files, or in no index', async () => {
    const same = { 'a.safetensors': tiny('a'), 'b.safetensors': tiny('a'), 'c.safetensors': tiny('c') };
    const folder = folderOf(same);
    const index = writeIndex(folder, { a: 'a.safetensors', c: 'c.safetensors' });
    await (await openCheckpoint(index)).close();
    await writeSafetensors(
      join(folder, 'c.safetensors'),
      ['a', 'c'].map((name) => ({ name, dtype: 'f32', shape: [1], data: new Float32Array(1) })),
    );
    expect(await refusal(index)).toMatch(/expected "a" of "c\.safetensors" to be in "a\.safetensors" alone/);
    await writeSafetensors(
      join(folder, 'c.safetensors'),
      ['d', 'c'].map((name) => ({ name, dtype: 'f32', shape: [1], data: new Float32Array(1) })),
    );
    expect(await refusal(index)).toMatch(/expected "d" of "c\.safetensors" in the index/);
  });

  test('missing, damaged and nested files', async () => {
    const folder = folderOf({ ...files, 'c.safetensors': 'x'.repeat(100), 'd.json': '{"weight_map": {}}' });
    await expect(openCheckpoint(writeIndex(folder, { a: 'none' }))).rejects.toMatchObject({
      code: 'ERR_IO',
      message: expect.stringContaining(join(folder, 'none')),
    });
    for (const [file, message] of [
      ['c.safetensors', /c\.safetensors: is neither a safetensors file nor/],
      ['d.json', /d\.json: is an index where a part of the checkpoint should be/],
      [INDEX, /is an index where a part/],
    ] as const) {
      const path = writeIndex(folder, { a: 'a.safetensors', b: file });
      await expect(openCheckpoint(path)).rejects.toMatchObject({
        code: 'ERR_CHECKPOINT',
        message: expect.stringMatching(message),
      });
    }
  });

  test.each<[string, string, RegExp]>([
    [
      'other JSON',
      '{"model_type": "sam"}',
      /is JSON, but not the index of a sharded checkpoint: expected a weight_map/,
    ],
    ['empty JSON', '{}', /is JSON, but not the index/],
    ['two maps', '{"weight_map": {"a": "a"}, "weight_map": {"a": "a"}}', /weight_map appears twice/],
    ['one tensor twice', '{"weight_map": {"a": "a", "a": "b"}}', /tensor "a" appears twice/],
    ['half of it', '{"weight_map": {"a": "a"', /is JSON, but not the index.*expected "}"/],
    ['something behind it', '{"weight_map": {"a": "a"}} x', /something follows the object/],
  ])('%s', async (_, text, message) => {
    expect(await refusal(scratch.write(text))).toMatch(message);
  });

  test('a small file with long white space, and pickles of the wrong kind, do not open', async () => {
    expect(await refusal(scratch.write(`${' '.repeat(600)}{}`))).toMatch(/neither a safetensors file/);
    const folder = folderOf({ 'p.bin': makeCheckpoint(Buffer.concat([op.proto(), op.none, op.stop])) });
    expect(await refusal(writeIndex(folder, { a: 'p.bin' }))).toMatch(/expected "a" in "p\.bin"/);
  });
});
