// Builds zip archives and pickles byte by byte, sound or damaged in chosen ways, for tests of hostile files.
import { deflateRawSync } from 'node:zlib';

export interface ZipPart {
  readonly name: string;
  readonly data: Uint8Array | string;
  readonly deflate?: boolean;
  /** Written to the directory instead of the true values. */
  readonly method?: number;
  readonly flags?: number;
  readonly size?: number;
  readonly compressedSize?: number;
  readonly headerOffset?: number;
  /** Written to the local header instead of the true values. */
  readonly localName?: string;
  readonly localSize?: number;
}

export function makeZip(parts: readonly ZipPart[]): Buffer {
  const chunks: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const part of parts) {
    const data = Buffer.from(part.data);
    const body = part.deflate ? deflateRawSync(data) : data;
    const method = part.method ?? (part.deflate ? 8 : 0);
    const name = Buffer.from(part.name);
    const localName = Buffer.from(part.localName ?? part.name);
    const flags = part.flags ?? 0;

    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(flags, 6);
    local.writeUInt16LE(method, 8);
    local.writeUInt32LE(part.localSize ?? part.compressedSize ?? body.length, 18);
    local.writeUInt32LE(part.localSize ?? part.size ?? data.length, 22);
    local.writeUInt16LE(localName.length, 26);

    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(flags, 8);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(part.compressedSize ?? body.length, 20);
    entry.writeUInt32LE(part.size ?? data.length, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(part.headerOffset ?? at, 42);
    directory.push(entry, name);

    chunks.push(local, localName, body);
    at += local.length + localName.length + body.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(parts.length, 8);
  end.writeUInt16LE(parts.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...chunks, central, end]);
}

/** Pickle instructions by name; every function returns bytes. */
export const op = {
  proto: (version = 2) => Buffer.from([0x80, version]),
  stop: Buffer.from('.'),
  mark: Buffer.from('('),
  none: Buffer.from('N'),
  dict: Buffer.from('}'),
  list: Buffer.from(']'),
  tuple: Buffer.from('t'),
  tuple1: Buffer.from([0x85]),
  tuple2: Buffer.from([0x86]),
  emptyTuple: Buffer.from(')'),
  append: Buffer.from('a'),
  appends: Buffer.from('e'),
  setItem: Buffer.from('s'),
  setItems: Buffer.from('u'),
  reduce: Buffer.from('R'),
  build: Buffer.from('b'),
  newObject: Buffer.from([0x81]),
  stackGlobal: Buffer.from([0x93]),
  persistent: Buffer.from('Q'),
  memoize: Buffer.from([0x94]),
  no: Buffer.from([0x89]),
  get: (index: number) => Buffer.from([0x68, index]),
  put: (index: number) => Buffer.from([0x71, index]),
  global: (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`),
  string: (text: string) => {
    const bytes = Buffer.from(text);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return Buffer.concat([Buffer.from('X'), length, bytes]);
  },
  int: (value: number) => {
    const bytes = Buffer.alloc(5, 'J');
    bytes.writeInt32LE(value, 1);
    return bytes;
  },
  long: (value: bigint) => {
    const bytes = Buffer.alloc(10);
    bytes[0] = 0x8a;
    bytes[1] = 8;
    bytes.writeBigInt64LE(value, 2);
    return bytes;
  },
};

export interface TensorRecipe {
  readonly storage?: string;
  readonly key?: string;
  readonly location?: string;
  /** Elements of the storage. */
  readonly numel: number | bigint;
  readonly offset?: number | bigint;
  readonly shape: readonly (number | bigint)[];
  readonly strides: readonly (number | bigint)[];
}

/** The instructions with which torch.save describes a tensor. */
export function tensor(recipe: TensorRecipe): Buffer {
  const number = (value: number | bigint) => (typeof value === 'number' ? op.int(value) : op.long(value));
  const numbers = (values: readonly (number | bigint)[]) => [op.mark, ...values.map(number), op.tuple];
  return Buffer.concat([
    op.global('torch._utils', '_rebuild_tensor_v2'),
    op.mark,
    op.mark,
    op.string('storage'),
    op.global(...((recipe.storage ?? 'torch FloatStorage').split(' ') as [string, string])),
    op.string(recipe.key ?? '0'),
    op.string(recipe.location ?? 'cpu'),
    number(recipe.numel),
    op.tuple,
    op.persistent,
    number(recipe.offset ?? 0),
    ...numbers(recipe.shape),
    ...numbers(recipe.strides),
    op.no,
    op.global('collections', 'OrderedDict'),
    op.emptyTuple,
    op.reduce,
    op.tuple,
    op.reduce,
  ]);
}

/** A pickle `{name: value}`. */
export function pickleDict(entries: Readonly<Record<string, Buffer>>): Buffer {
  const items = Object.entries(entries).flatMap(([name, value]) => [op.string(name), value]);
  return Buffer.concat([op.proto(), op.dict, op.mark, ...items, op.setItems, op.stop]);
}

/** A checkpoint archive around a pickle; storage "0" has 24 bytes unless `storages` says otherwise. */
export function makeCheckpoint(
  pickle: Uint8Array,
  storages: readonly ZipPart[] = [floats(6)],
  extra: ZipPart[] = [],
) {
  return makeZip([
    { name: 'x/data.pkl', data: pickle },
    { name: 'x/byteorder', data: 'little' },
    ...storages,
    ...extra,
  ]);
}

export function floats(count: number, key = '0', more: Partial<ZipPart> = {}): ZipPart {
  const values = Float32Array.from({ length: count }, (_, i) => i);
  return { name: `x/data/${key}`, data: new Uint8Array(values.buffer), ...more };
}

/** A safetensors file from a header (an object or raw text) and data. */
export function makeSafetensors(
  header: unknown,
  data: Uint8Array = new Uint8Array(0),
  declared?: bigint,
): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(declared ?? BigInt(json.length));
  return Buffer.concat([length, json, data]);
}
