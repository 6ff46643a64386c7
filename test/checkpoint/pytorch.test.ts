// PyTorch checkpoints: files of torch.save, views of storages, damaged archives, hostile pickles.
import { existsSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint';
import { longestTurn } from '../support/event-loop';
import { fixtures, readAll, refusal, Scratch } from './helpers';
import { floats, makeCheckpoint, makeZip, op, pickleDict, type TensorRecipe, tensor } from './make-zip';

const scratch = new Scratch();
afterAll(() => scratch.remove());
const refused = (bytes: Uint8Array) => refusal(scratch.write(bytes));
const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes!).toString('hex');

const expected: Record<string, { shape: number[]; hex: string }> = JSON.parse(
  readFileSync(join(fixtures, 'expected.json'), 'utf8'),
);
const simple: TensorRecipe = { numel: 6, shape: [2, 3], strides: [3, 1] };

describe('files of torch.save', () => {
  test.each([2, 4, 5])('containers and dtypes in pickle protocol %i', async (protocol) => {
    const file = await readAll(join(fixtures, `containers-p${protocol}.pt`));
    expect(file.format).toBe('pytorch-zip');
    for (const [name, { shape, hex: bytes }] of Object.entries(expected)) {
      if (!name.startsWith('s/')) continue;
      const key = `state_dict.${name.slice(2)}`;
      const dtype = key.endsWith('scalar') || key.endsWith('empty') ? 'f32' : name.slice(2);
      expect(file.tensors.get(key)).toEqual({ name: key, dtype, shape, byteLength: bytes.length / 2 });
      expect(hex(file.data.get(key))).toBe(bytes);
    }
    const others = [...file.tensors.keys()].filter((name) => !name.startsWith('state_dict.'));
    expect(others).toEqual(['nested.0.w', 'nested.1.0', 'optimizer.state.0.exp_avg', '__proto__.polluted']);
    expect(({} as Record<string, unknown>).polluted).toBe(undefined);
  });

  test.each(['views.pt', 'views-deflated.pt'])('offsets, strides and shared storages in %s', async (name) => {
    const file = await readAll(join(fixtures, name));
    expect(file.tensors.size).toBe(11);
    for (const [key, info] of file.tensors) {
      expect(info.shape).toEqual(expected[`v/${key}`]!.shape);
      expect([key, hex(file.data.get(key))]).toEqual([key, expected[`v/${key}`]!.hex]);
    }
  });

  test('paddings and data descriptors as torch writes them', async () => {
    const file = await readAll(join(fixtures, 'torch-save.pt'));
    expect(new Float32Array(file.data.get('a')!.buffer as ArrayBuffer)).toEqual(Float32Array.of(0, 1, 2));
    expect(file.tensors.get('b')).toMatchObject({ dtype: 'f16', shape: [4] });
  });

  test('truncation at every byte', async () => {
    const whole = readFileSync(join(fixtures, 'torch-save.pt'));
    for (let length = 0; length < whole.length; length++) await refused(whole.subarray(0, length));
  });

  test('reads end with close', async () => {
    const checkpoint = await openCheckpoint(join(fixtures, 'views.pt'));
    await expect(checkpoint.read('nothing')).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    await checkpoint.close();
    await expect(checkpoint.read('transposed')).rejects.toMatchObject({ code: 'ERR_DISPOSED' });
  });
});

describe('other kinds of file are named', () => {
  test.each<[string, string | Buffer, RegExp]>([
    ['nothing', '', /is empty/],
    ['a few bytes', 'abc', /too short to be a checkpoint \(3 bytes\)/],
    ['noise', 'x'.repeat(100), /neither a safetensors file nor a PyTorch zip checkpoint/],
    [
      'Git LFS',
      'version https://git-lfs.github.com/spec/v1\noid sha256:0\n',
      /Git LFS pointer.*git lfs pull/,
    ],
    ['a web page', '<!DOCTYPE html>\n<html>', /HTML page/],
    ['GGUF', 'GGUF\x03\0\0\0\0\0\0\0', /GGUF/],
    ['HDF5', Buffer.from('\x89HDF\r\n\x1a\n\0\0', 'latin1'), /HDF5/],
    ['PNG', Buffer.from('\x89PNG\r\n\x1a\n\0\0', 'latin1'), /PNG/],
    ['JPEG', Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 0, 0, 0, 0, 0]), /JPEG/],
    ['ONNX', Buffer.from([8, 8, 0x12, 7, ...Buffer.from('pytorch'), 0]), /ONNX/],
    ['a bare pickle', Buffer.from('\x80\x04}\x94.\0\0\0\0\0', 'latin1'), /bare Python pickle/],
    [
      'tar',
      Buffer.concat([Buffer.alloc(257, 'a'), Buffer.from('ustar'), Buffer.alloc(250)]),
      /tar archive.*torch\.save/,
    ],
    ['npz', makeZip([{ name: 'a.npy', data: 'x' }]), /NumPy archive/],
    ['another zip', makeZip([{ name: 'a.txt', data: 'x' }]), /a zip archive, but not a PyTorch checkpoint/],
    ['an empty zip', makeZip([]), /not a PyTorch checkpoint/],
  ])('%s', async (_, bytes, message) => {
    expect(await refused(Buffer.from(bytes as string))).toMatch(message);
  });

  test('fixtures, folders, missing files and bad arguments', async () => {
    expect(await refusal(join(fixtures, 'legacy.pth'))).toMatch(/before 1\.6.*torch\.save.*safetensors/);
    expect(await refusal(join(fixtures, 'torchscript.pt'))).toMatch(/TorchScript/);
    expect(await refusal(fixtures)).toMatch(/is a directory/);
    expect(await refusal('/dev/null')).toMatch(/not a regular file/);
    await expect(openCheckpoint(join(fixtures, 'none.pth'))).rejects.toMatchObject({ code: 'ERR_IO' });
    for (const path of ['', 'a\0b', 3 as unknown as string, undefined as unknown as string]) {
      await expect(openCheckpoint(path)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }
  });
});

describe('Python objects beside the weights', () => {
  test.each([2, 4, 5])('are passed over, in pickle protocol %i', async (protocol) => {
    const { data } = await readAll(join(fixtures, `objects-p${protocol}.pt`));
    const values = [...data].map(([name, { buffer }]) => [
      name,
      [...new Float32Array(buffer as ArrayBuffer)],
    ]);
    expect(values).toEqual([
      ['model.w', [0, 1]],
      ['model.b', [0]],
      ['nested.x.t', [1]],
      ['last.1', [1]],
      ['torch.4', [1, 1]],
    ]);
    const namespace = await openCheckpoint(join(fixtures, 'namespace.pth'));
    expect([...namespace.tensors.keys()]).toEqual(['model.w']);
    await namespace.close();
  });

  test('a model that was saved whole is refused with what to do instead', async () => {
    expect(await refusal(join(fixtures, 'whole-model.pt'))).toMatch(
      /holds a whole model as Python objects \(torch\.nn\.modules\.container\.Sequential\).*save its state_dict\(\) alone/,
    );
    const state = [
      op.dict,
      op.mark,
      ...['_parameters', '_modules'].flatMap((key) => [op.string(key), op.dict]),
    ];
    const body = [
      op.global('ultralytics.nn.tasks', 'SegmentationModel'),
      op.emptyTuple,
      op.newObject,
      ...state,
    ];
    const pickle = Buffer.concat([op.proto(), ...body, op.setItems, op.build, op.stop]);
    expect(await refused(makeCheckpoint(pickle))).toMatch(
      /holds a FastSAM or YOLO model of Ultralytics .*\(ultralytics\.nn\.tasks\.SegmentationModel\)/,
    );
  });

  const make = (how: Buffer) => [op.global('my.config', 'Options'), op.emptyTuple, how];
  const filled = (how: Buffer) => [...make(how), op.mark, op.string('w'), tensor(simple), op.setItems];
  test.each([
    ['called', op.reduce],
    ['instantiated', op.newObject],
  ])(
    'a class of which nothing is known, %s without arguments and filled with items, is a dict',
    async (_, how) => {
      const body = [op.mark, ...filled(how), ...make(how), op.tuple];
      const file = await readAll(
        scratch.write(makeCheckpoint(Buffer.concat([op.proto(), ...body, op.stop]))),
      );
      expect([...file.tensors.keys()]).toEqual(['0.w']);
    },
  );

  test.each<[string, Buffer[], RegExp]>([
    ['it gets no items', make(op.reduce), /refused my\.config\.Options/],
    ['it is only named', [op.global('my.config', 'Options')], /refused my\.config\.Options/],
    [
      'it gets state instead of items',
      [...make(op.newObject), op.dict, op.mark, op.string('a'), op.none, op.setItems, op.build],
      /refused my\.config\.Options/,
    ],
    [
      'it gets arguments',
      [op.global('subprocess', 'Popen'), op.mark, op.string('x'), op.tuple, op.reduce],
      /refused subprocess\.Popen/,
    ],
    [
      'it is instantiated with arguments',
      [op.global('my', 'Options'), op.mark, op.string('x'), op.tuple, op.newObject],
      /refused my\.Options/,
    ],
    ['it is a function', [op.global('os', 'abort'), op.emptyTuple, op.reduce], /refused os\.abort/],
    [
      'it is built in',
      [op.global('builtins', 'ValueError'), op.emptyTuple, op.reduce],
      /refused builtins\.Val/,
    ],
    [
      'another one is filled',
      [op.mark, ...filled(op.reduce), op.global('my', 'Other'), op.tuple],
      /refused my\.Oth/,
    ],
    [
      'a type that may only be named is called',
      [op.global('builtins', 'list'), op.emptyTuple, op.reduce],
      /to call/,
    ],
    [
      'a type that may only be named is instantiated',
      [op.global('numpy', 'float64'), op.emptyTuple, op.newObject],
      /refused an instance of numpy\.float64/,
    ],
    [
      'a tensor subclass is rebuilt by itself',
      [
        op.global('torch._tensor', '_rebuild_from_type_v2'),
        ...[op.mark, op.global('torch._tensor', '_rebuild_from_type_v2'), op.global('torch', 'Tensor')],
        ...[op.emptyTuple, op.dict, op.tuple, op.reduce],
      ],
      /unexpected arguments/,
    ],
  ])('but not where %s', async (_, body, message) => {
    expect(await refused(makeCheckpoint(Buffer.concat([op.proto(4), ...body, op.stop])))).toMatch(message);
  });
});

describe('nothing is executed', () => {
  test('os.system in a file of torch.save', async () => {
    expect(await refusal(join(fixtures, 'evil.pth'))).toMatch(
      /refused (os|posix)\.system: .*nothing in it is executed/,
    );
    expect(existsSync('/tmp/ba-sam-was-here')).toBe(false);
  });

  const call = (module: string, name: string, ...args: Buffer[]) => [
    op.global(module, name),
    op.mark,
    ...args,
    op.tuple,
    op.reduce,
  ];
  test.each<[string, Buffer[], RegExp]>([
    ['builtins.eval', call('builtins', 'eval', op.string('1')), /refused builtins\.eval/],
    ['__builtin__.exec', call('__builtin__', 'exec', op.string('1')), /refused __builtin__\.exec/],
    ['subprocess.Popen', call('subprocess', 'Popen', op.string('x')), /refused subprocess\.Popen/],
    ['torch.load', call('torch', 'load'), /refused torch\.load/],
    ['a name that is only looked up', [op.global('torch.hub', 'load')], /refused torch\.hub\.load/],
    ['STACK_GLOBAL', [op.string('os'), op.string('popen'), op.stackGlobal], /refused os\.popen/],
    [
      'a dotted name',
      [op.string('torch'), op.string('Size.__init__.__globals__'), op.stackGlobal],
      /refused torch\.Size\.__init__/,
    ],
    ['an inherited name', [op.global('__proto__', 'constructor')], /refused __proto__\.constructor/],
    [
      'NEWOBJ',
      [op.global('collections', 'OrderedDict'), op.emptyTuple, op.newObject],
      /refused an instance of collections\.OrderedDict/,
    ],
    ['INST', [op.mark, Buffer.from('ios\nsystem\n')], /refused os\.system/],
    ['OBJ', [op.mark, op.global('torch', 'Size'), Buffer.from('o')], /refused an instance of torch\.Size/],
    ['EXT1', [Buffer.from([0x82, 7])], /refused copyreg extension 7/],
    [
      'calling a dtype',
      [op.global('torch', 'float32'), op.emptyTuple, op.reduce],
      /refused to call torch\.float32/,
    ],
    ['calling a string', [op.string('os.system'), op.emptyTuple, op.reduce], /refused to call a string/],
    ['calling without a tuple', [op.global('torch', 'Size'), op.list, op.reduce], /without a tuple/],
    [
      'BUILD on a name',
      [op.global('torch', 'Size'), op.dict, op.build],
      /refused to set the state of torch\.Size/,
    ],
    ['BUILD on a list', [op.list, op.dict, op.build], /refused to set the state of a list/],
    [
      'a name with control characters',
      [op.string('os\x1b[2J'), op.string('x'), op.stackGlobal],
      /refused os\?\[2J\.x/,
    ],
  ])('%s', async (_, body, message) => {
    expect(await refused(makeCheckpoint(Buffer.concat([op.proto(4), ...body, op.stop])))).toMatch(message);
  });
});

describe('damaged and hostile pickles', () => {
  const u32 = (code: number, value: number) => {
    const bytes = Buffer.alloc(5, code);
    bytes.writeUInt32LE(value, 1);
    return bytes;
  };
  const u64 = (code: number, value: bigint) => {
    const bytes = Buffer.alloc(9, code);
    bytes.writeBigUInt64LE(value, 1);
    return bytes;
  };
  /** list of two references to the list before, n times: 2^n leaves. */
  const bomb = (n: number) => {
    const parts = [op.list, op.put(0)];
    for (let i = 0; i < n; i++) parts.push(op.list, op.mark, op.get(i), op.get(i), op.appends, op.put(i + 1));
    return [op.mark, ...parts, op.tuple];
  };
  const cycle = [op.list, op.put(0), op.get(0), op.append];

  test.each<[string, Buffer[], RegExp]>([
    ['no protocol', [], /does not begin with its protocol/],
    ['a memo entry that was never stored', [op.proto(), op.get(5)], /memo entry 5 was never stored/],
    ['an empty stack', [op.proto(), op.append], /empty stack/],
    ['nothing at the end', [op.proto()], /empty stack/],
    ['a mark left open', [op.proto(), op.mark, op.none], /ends too early/],
    ['no mark', [op.proto(), op.none, op.tuple], /no mark/],
    ['no end', [op.proto(), op.none, Buffer.from([0x4a])], /truncated/],
    ['protocol 1', [op.proto(1)], /protocol 1 is not supported/],
    ['protocol 6', [op.proto(6)], /protocol 6 is not supported/],
    [
      'a text instruction',
      [op.proto(), Buffer.from('I1\n')],
      /unsupported pickle instruction 0x49 at byte 2/,
    ],
    ['a string of 4 GiB', [op.proto(), u32(0x58, 0xffffffff)], /a string of 4294967295 bytes is too long/],
    ['a string of 2^63 bytes', [op.proto(), u64(0x8d, 2n ** 63n)], /truncated/],
    ['bytes of 2^63 bytes', [op.proto(), u64(0x8e, 2n ** 63n)], /truncated/],
    ['a frame beyond the end', [op.proto(4), u64(0x95, 1000n)], /truncated/],
    ['an integer of 2 GiB', [op.proto(), u32(0x8b, 0x7fffffff)], /an integer of 2147483647 bytes/],
    ['an integer of negative length', [op.proto(), u32(0x8b, 0xffffffff)], /an integer of -1 bytes/],
    ['half a character', [op.proto(), Buffer.from([0x8c, 1, 0xc3])], /not valid UTF-8/],
    ['deep marks', [op.proto(), Buffer.alloc(100_000, '(')], /nests deeper than 1000/],
    ['a tall stack', [op.proto(), Buffer.alloc(200_000, 'N')], /more than 100000 values in one container/],
    ['many values', [op.proto(), Buffer.alloc(5_000_000, 'N0')], /more than 2000000 values/],
    [
      'many memo entries',
      [op.proto(), op.none, ...Array.from({ length: 2_000_001 }, () => op.memoize)],
      /memo entries/,
    ],
    ['a memo bomb', [op.proto(), ...bomb(200)], /more than 5000000 values|nested deeper than 32/],
    ['a shallow memo bomb', [op.proto(), ...bomb(28)], /more than 5000000 values/],
    ['a list inside itself', [op.proto(), ...cycle], /nested deeper than 32/],
    ['nested lists', [op.proto(), Buffer.alloc(500, ']'), Buffer.alloc(499, 'a')], /nested deeper than 32/],
    ['an odd SETITEMS', [op.proto(), op.dict, op.mark, op.none, op.setItems], /key without a value/],
    ['SETITEM on a list', [op.proto(), op.list, op.none, op.none, op.setItem], /SETITEMS on a list/],
    ['a list as key', [op.proto(), op.dict, op.list, op.none, op.setItem], /cannot be the key/],
    ['APPEND on a dict', [op.proto(), op.dict, op.none, op.append], /APPENDS on a dict/],
    ['a wrong persistent id', [op.proto(), op.string('x'), op.persistent], /persistent id/],
    [
      'a number as storage class',
      [
        op.proto(),
        op.mark,
        op.string('storage'),
        op.none,
        op.string('0'),
        op.string('cpu'),
        op.int(1),
        op.tuple,
        op.persistent,
      ],
      /None is not a storage class/,
    ],
  ])('%s', async (_, body, message) => {
    expect(await refused(makeCheckpoint(Buffer.concat([...body, op.stop])))).toMatch(message);
  });

  test('OrderedDict from pairs, DUP, POP, and a pickle that is one tensor', async () => {
    const pairs = [op.list, op.mark, op.mark, op.string('w'), tensor(simple), op.tuple, op.appends];
    const dict = [op.global('collections', 'OrderedDict'), op.mark, ...pairs, op.tuple, op.reduce];
    const body = [op.proto(), op.none, Buffer.from('20'), Buffer.from('0'), ...dict, op.stop];
    expect([...(await readAll(scratch.write(makeCheckpoint(Buffer.concat(body))))).tensors.keys()]).toEqual([
      'w',
    ]);
    const alone = Buffer.concat([op.proto(), tensor(simple), op.stop]);
    expect([...(await readAll(scratch.write(makeCheckpoint(alone)))).tensors.keys()]).toEqual(['']);
  });

  test('the work is done in slices', async () => {
    const entries = Buffer.concat(Array.from({ length: 600_000 }, (_, i) => op.int(i)));
    const list: Buffer[] = [op.proto(), op.list];
    for (let i = 0; i < 6; i++)
      list.push(op.mark, entries.subarray(i * 500_000, (i + 1) * 500_000), op.appends);
    const path = scratch.write(makeCheckpoint(Buffer.concat([...list, op.stop])));
    expect(await longestTurn(async () => (await openCheckpoint(path)).close())).toBeLessThan(0.3);
  });
});

describe('tensors that do not fit', () => {
  const big = 2n ** 40n;
  test.each<[string, TensorRecipe, RegExp]>([
    [
      'a shape larger than its storage',
      { ...simple, shape: [3, 3] },
      /does not lie inside its storage of 24 bytes/,
    ],
    ['an offset', { ...simple, offset: 1 }, /does not lie inside/],
    [
      'an offset of an empty tensor',
      { numel: 6, offset: 7, shape: [0], strides: [1] },
      /does not lie inside/,
    ],
    ['a stride', { ...simple, strides: [4, 1] }, /does not lie inside/],
    ['a stride of 2^40', { ...simple, strides: [big, 1] }, /does not lie inside/],
    ['a negative size', { ...simple, shape: [-2, -3] }, /unexpected arguments/],
    ['a negative offset', { ...simple, offset: -1 }, /unexpected arguments/],
    ['a negative stride', { ...simple, strides: [-3, 1] }, /unexpected arguments/],
    ['an overflowing shape', { ...simple, shape: [big, big] }, /no valid size/],
    ['an offset of 2^62', { ...simple, offset: 2n ** 62n }, /unexpected arguments/],
    ['stride 0', { ...simple, shape: [1_000_000, 6], strides: [0, 1] }, /repeats its storage/],
    ['fewer strides', { ...simple, strides: [1] }, /unexpected arguments/],
    [
      'a storage of another size',
      { ...simple, numel: 7 },
      /expected storage "data\/0" of 28 bytes but found 24/,
    ],
    [
      'a storage that is missing',
      { ...simple, key: '1' },
      /expected storage "data\/1" of 24 bytes but found none/,
    ],
    ['a storage outside', { ...simple, key: '../data.pkl' }, /but found none/],
    ['a storage on meta', { ...simple, location: 'meta' }, /meta device/],
    ['a storage of negative size', { ...simple, numel: -6 }, /invalid size/],
    ['a storage of 2^62 numbers', { ...simple, numel: 2n ** 62n }, /invalid size/],
    [
      'a storage without dtype',
      { ...simple, storage: 'torch.storage UntypedStorage' },
      /does not say the element type/,
    ],
    [
      'a class that is not a storage',
      { ...simple, storage: 'torch Size' },
      /torch\.Size is not a storage class/,
    ],
  ])('%s', async (_, recipe, message) => {
    expect(await refused(makeCheckpoint(pickleDict({ w: tensor(recipe) })))).toMatch(message);
  });

  test('empty tensors may have any strides', async () => {
    const empty = (shape: number[], strides: number[]) => tensor({ numel: 6, offset: 6, shape, strides });
    const pickle = pickleDict({
      a: empty([0, 4], [1, 9]),
      b: empty([4, 0], [1, 4]),
      c: empty([2, 0, 3], [9, 9, 9]),
    });
    const file = await readAll(scratch.write(makeCheckpoint(pickle)));
    expect([...file.data.values()].map((data) => data.length)).toEqual([0, 0, 0]);
  });

  test('two tensors of one name, and a name without end', async () => {
    const nested = Buffer.concat([op.dict, op.string('b'), tensor(simple), op.setItem]);
    expect(await refused(makeCheckpoint(pickleDict({ a: nested, 'a.b': tensor(simple) })))).toMatch(
      /two tensors are called "a.b"/,
    );
    expect(await refused(makeCheckpoint(pickleDict({ ['n'.repeat(2000)]: tensor(simple) })))).toMatch(
      /longer than 1024/,
    );
  });
});

describe('damaged and hostile archives', () => {
  const pickle = pickleDict({ w: tensor(simple) });

  test('stored and deflated storages read alike', async () => {
    for (const deflate of [false, true]) {
      const file = await readAll(scratch.write(makeCheckpoint(pickle, [floats(6, '0', { deflate })])));
      expect(new Float32Array(file.data.get('w')!.buffer as ArrayBuffer)).toEqual(
        Float32Array.of(0, 1, 2, 3, 4, 5),
      );
    }
  });

  test.each<[string, Parameters<typeof floats>[2], RegExp]>([
    ['encrypted', { flags: 1 }, /is encrypted/],
    ['another compression', { method: 12 }, /compressed by method 12/],
    ['sizes that disagree', { size: 25 }, /impossible sizes/],
    ['an offset beyond the file', { headerOffset: 0x7fffffff }, /ends beyond the file/],
    ['an offset into another entry', { headerOffset: 10 }, /overlap/],
    ['another name in front of the data', { localName: 'x/data/9' }, /local header disagrees/],
    ['another size in front of the data', { localSize: 23 }, /local header disagrees/],
    [
      'deflated, longer than declared',
      { deflate: true, data: Buffer.alloc(100_000), size: 24 },
      /inflates to more than its 24 bytes/,
    ],
    [
      'deflated, shorter than declared',
      { deflate: true, data: Buffer.alloc(8), size: 24 },
      /inflates to 8 bytes instead of 24/,
    ],
    ['deflated, but not really', { method: 8 }, /cannot be inflated|inflates to/],
    ['a promise that deflate cannot keep', { deflate: true, data: 'x', size: 1_000_000 }, /impossible sizes/],
  ])('%s', async (_, part, message) => {
    expect(await refused(makeCheckpoint(pickle, [floats(6, '0', part)]))).toMatch(message);
  });

  test('duplicate, missing and oversized parts', async () => {
    expect(await refused(makeCheckpoint(pickle, [floats(6), floats(6)]))).toMatch(/two entries "x\/data\/0"/);
    expect(
      await refused(makeCheckpoint(pickle, [floats(6)], [{ name: 'y/data.pkl', data: pickle }])),
    ).toMatch(/more than one checkpoint/);
    expect(
      await refused(
        makeZip([
          { name: 'x/data.pkl', data: pickle },
          { name: 'x/byteorder', data: 'big' },
        ]),
      ),
    ).toMatch(/big-endian machine/);
    expect(
      await refused(
        makeZip([
          { name: 'x/data.pkl', data: pickle },
          { name: 'x/byteorder', data: 'pdp' },
        ]),
      ),
    ).toMatch(/unknown byte order/);
    const huge = { name: 'x/data.pkl', data: Buffer.alloc(65 * 1024 * 1024), deflate: true };
    expect(await refused(makeZip([huge]))).toMatch(/data\.pkl has 68157440 bytes; expected at most/);
    const many = Array.from({ length: 20_001 }, (_, i) => ({ name: `x/${i}`, data: '' }));
    expect(await refused(makeZip(many))).toMatch(/more than 20000 entries/);
  });
});

describe('what a file claims against what it holds', () => {
  const MiB = 1024 * 1024;
  const side = 1024;
  /** A storage of 4 MiB of zeros, and so many tensors on all of it. */
  const shared = (tensors: number, part: Parameters<typeof floats>[2], shape = [side, side]) => {
    const view = tensor({ numel: side * side, shape, strides: [shape[1]!, 1] });
    const entries = Array.from({ length: tensors }, (_, i) => [`w${i}`, view]);
    const storage = { ...floats(0, '0', part), data: Buffer.alloc(4 * MiB) };
    return makeCheckpoint(pickleDict(Object.fromEntries(entries)), [storage]);
  };

  test('tied weights, and two dictionaries that hold the same tensors', async () => {
    const opened = await openCheckpoint(scratch.write(shared(4, {})));
    expect(opened.tensors.size).toBe(4);
    await opened.close();
  });

  test.each<[string, number, Parameters<typeof floats>[2], number[]]>([
    ['one deflated storage of zeros under many tensors', 17, { deflate: true }, [side, side]],
    ['the same under many small tensors: each inflates all of it', 17, { deflate: true }, [1, 1]],
    ['a stored one under very many', 17, {}, [side, side]],
  ])('%s', async (_, tensors, part, shape) => {
    // Up to 64 MiB are allowed whatever the file's size; the stored file has 4 MiB, and 16 times as much is the same.
    const path = scratch.write(shared(tensors, part, shape));
    expect(await refusal(path)).toMatch(
      /expected tensors that take at most \d+ bytes to read, 16 times the file's \d+, but found 17 that take more/,
    );
    const fewer = await openCheckpoint(scratch.write(shared(15, part, shape)));
    await fewer.close();
  });

  test('many small tensors of one stored storage take no more than they have', async () => {
    const opened = await openCheckpoint(scratch.write(shared(1000, {}, [1, 1])));
    expect(opened.tensors.size).toBe(1000);
    await opened.close();
  });

  test('columns of one storage are read with all between them', async () => {
    const column = tensor({ numel: side * side, shape: [side, 1], strides: [side, 1] });
    const entries = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`w${i}`, column]));
    const storage = { ...floats(0), data: Buffer.alloc(4 * MiB) };
    expect(await refused(makeCheckpoint(pickleDict(entries), [storage]))).toMatch(/found 17 that take more/);
  });
});

describe('size', () => {
  test('one tensor of a large sparse archive reads in little memory, whole or as a slice of its storage', async () => {
    const bytes = 200 * 1024 * 1024;
    const count = bytes / 4;
    const slice = { numel: count, offset: count - 1000, shape: [10, 100], strides: [1, 10] };
    const pickle = pickleDict({
      all: tensor({ numel: count, shape: [count], strides: [1] }),
      end: tensor(slice),
    });
    const zip = makeCheckpoint(pickle, [floats(0, '0', { size: bytes, compressedSize: bytes })]);
    // The directory moves behind the hole that stands for the storage.
    const directory = zip.readUInt32LE(zip.length - 6);
    const tail = Buffer.from(zip.subarray(directory));
    tail.writeUInt32LE(directory + bytes, tail.length - 6);
    const path = scratch.write(zip.subarray(0, directory));
    const handle = await open(path, 'r+');
    await handle.write(tail, 0, tail.length, directory + bytes);
    await handle.write(Float32Array.of(7), 0, 4, directory + bytes - 4);
    await handle.close();

    const before = process.memoryUsage().rss;
    const checkpoint = await openCheckpoint(path);
    expect(checkpoint.tensors.get('all')!.byteLength).toBe(bytes);
    const end = new Float32Array((await checkpoint.read('end')).buffer);
    expect(process.memoryUsage().rss - before).toBeLessThan(60 * 1024 * 1024);
    expect(end.indexOf(7)).toBe(999);

    // Closing in the middle: the read either had finished or says why not.
    const reading = checkpoint.read('all').then(
      (data) => data.byteLength,
      (error) => error.code,
    );
    await checkpoint.close();
    expect([bytes, 'ERR_DISPOSED']).toContain(await reading);
  });
});
