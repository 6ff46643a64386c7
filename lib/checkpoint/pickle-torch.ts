// The only names that a pickle in a checkpoint may use, and what "calling" each of them means here. No name leads to code from the
// file: every call is to a function of this page.
import { describe } from '../errors';
import { type CheckpointDType, dtypeBits, MAX_DIMENSIONS, tensorBytes } from './dtype';
import { isClassLike, isOpaque, isType } from './pickle-opaque';
import {
  PickleError,
  type PickleValue,
  PyDict,
  PyGlobal,
  PyList,
  PyOpaque,
  PySet,
  PyStorage,
  PyTensor,
  PyTuple,
} from './pickle-values';

/** Element type of the storage classes; null for plain bytes. */
const STORAGES: ReadonlyMap<string, CheckpointDType | null> = new Map([
  ['torch.DoubleStorage', 'f64'],
  ['torch.FloatStorage', 'f32'],
  ['torch.HalfStorage', 'f16'],
  ['torch.BFloat16Storage', 'bf16'],
  ['torch.LongStorage', 'i64'],
  ['torch.IntStorage', 'i32'],
  ['torch.ShortStorage', 'i16'],
  ['torch.CharStorage', 'i8'],
  ['torch.ByteStorage', 'u8'],
  ['torch.BoolStorage', 'bool'],
  ['torch.ComplexFloatStorage', 'c64'],
  ['torch.ComplexDoubleStorage', 'c128'],
  ['torch.UntypedStorage', null],
  ['torch.storage.UntypedStorage', null],
  ['torch.storage._UntypedStorage', null],
]);

const DTYPES: ReadonlyMap<string, CheckpointDType> = new Map([
  ['torch.float64', 'f64'],
  ['torch.float32', 'f32'],
  ['torch.float16', 'f16'],
  ['torch.bfloat16', 'bf16'],
  ['torch.float8_e4m3fn', 'f8_e4m3'],
  ['torch.float8_e5m2', 'f8_e5m2'],
  ['torch.float8_e8m0fnu', 'f8_e8m0'],
  ['torch.float8_e4m3fnuz', 'f8_e4m3fnuz'],
  ['torch.float8_e5m2fnuz', 'f8_e5m2fnuz'],
  ['torch.int64', 'i64'],
  ['torch.int32', 'i32'],
  ['torch.int16', 'i16'],
  ['torch.int8', 'i8'],
  ['torch.uint64', 'u64'],
  ['torch.uint32', 'u32'],
  ['torch.uint16', 'u16'],
  ['torch.uint8', 'u8'],
  ['torch.bool', 'bool'],
  ['torch.complex32', 'c32'],
  ['torch.complex64', 'c64'],
  ['torch.complex128', 'c128'],
]);

type Call = (args: readonly PickleValue[], name: string) => PickleValue;

const CALLS: ReadonlyMap<string, Call> = new Map<string, Call>([
  ['collections.OrderedDict', orderedDict],
  ['torch.Size', size],
  ['torch._utils._rebuild_tensor_v2', (args, name) => rebuildTensor(args, name, false)],
  ['torch._utils._rebuild_tensor_v3', (args, name) => rebuildTensor(args, name, true)],
  ['torch._tensor._rebuild_from_type_v2', rebuildFromType],
  ['torch._utils._rebuild_parameter', rebuildParameter],
  ['torch._utils._rebuild_parameter_with_state', rebuildParameter],
  ['collections.defaultdict', () => new PyDict()],
  [
    'collections.deque',
    ([items]) => new PyList(items instanceof PyList || items instanceof PyTuple ? [...items.items] : []),
  ],
  ['builtins.set', () => new PySet()],
  ['builtins.frozenset', () => new PySet()],
  ['builtins.bytearray', () => new PyOpaque('bytes')],
  ['builtins.bytes', () => new PyOpaque('bytes')],
  // How protocol 2 writes bytes: a string and the encoding that turns it into bytes.
  ['_codecs.encode', () => new PyOpaque('bytes')],
]);

/**
 * The value of a name in a pickle.
 *
 * @throws PickleError naming it, unless it is one of those that rebuild tensors, containers and harmless values, or may be the
 *   class of a dict
 */
export function findGlobal(module: string, name: string): PyGlobal {
  const full = `${module}.${name}`;
  const known = canonical(full);
  const isValue = STORAGES.has(known) || DTYPES.has(known) || isType(known);
  if (isValue || CALLS.has(known) || isOpaque(known)) return new PyGlobal(full);
  if (isClassLike(full)) return new PyGlobal(full, false);
  throw refused(full);
}

/** What `REDUCE` does: "calls" a name with arguments. */
export function call(target: PickleValue, args: PickleValue): PickleValue {
  const name = nameOf(target);
  if (!(target instanceof PyGlobal)) throw new PickleError(`refused to call ${name}`);
  if (!(args instanceof PyTuple)) throw new PickleError(`${name} is called without a tuple of arguments`);
  if (!target.known) return emptyDict(target, args);
  const found = CALLS.get(canonical(name));
  if (found) return found(args.items, name);
  if (isOpaque(canonical(name))) return new PyOpaque(name);
  throw new PickleError(`refused to call ${name}`);
}

/** What `NEWOBJ` does: makes an object of a class, without calling that. */
export function makeInstance(type: PickleValue, args: PickleValue): PickleValue {
  if (type instanceof PyGlobal && args instanceof PyTuple) {
    if (!type.known) return emptyDict(type, args);
    if (isOpaque(canonical(type.name))) return new PyOpaque(type.name);
  }
  throw refused(`an instance of ${nameOf(type)}`);
}

// Of a class that nothing is known of: whoever runs the pickle has to see that items are set before he believes it.
function emptyDict(type: PyGlobal, args: PyTuple): PyDict {
  if (args.items.length > 0) throw refused(type.name);
  return new PyDict(type.name);
}

/** Whether an object's state is that of a torch.nn.Module. */
export function isModule(state: PickleValue): boolean {
  return state instanceof PyDict && state.entries.has('_parameters') && state.entries.has('_modules');
}

/** What `BUILD` does: sets an object's state, which nobody reads here. */
export function build(target: PickleValue): void {
  // torch.nn.Module.state_dict hangs `_metadata` (module versions) on its OrderedDict.
  if (!(target instanceof PyDict || target instanceof PyOpaque)) {
    throw new PickleError(`refused to set the state of ${nameOf(target)}`);
  }
}

/** What `BINPERSID` does: a persistent id is a reference to a storage in the archive. */
export function persistentLoad(id: PickleValue): PyStorage {
  if (!(id instanceof PyTuple) || id.items.length !== 5 || id.items[0] !== 'storage') {
    throw new PickleError("a persistent id is not ('storage', class, key, location, size)");
  }
  const [, type, key, location, count] = id.items;
  const dtype = type instanceof PyGlobal ? STORAGES.get(type.name) : undefined;
  if (dtype === undefined)
    throw new PickleError(`${nameOf(type ?? null)} is not a storage class with a known size`);
  if (typeof key !== 'string' || key.length > 100) throw new PickleError('a storage has an invalid key');
  if (location === 'meta')
    throw new PickleError(`storage ${describe(key)} is on the meta device: it has no data`);
  const byteLength = isCount(count) ? tensorBytes(dtype ?? 'u8', [count]) : undefined;
  if (byteLength === undefined) throw new PickleError(`storage ${describe(key)} has an invalid size`);
  return new PyStorage(key, dtype ?? undefined, byteLength);
}

/** The refusal of a model that was saved as a Python object. @param name its class */
export function wholeModel(name: string): PickleError {
  const what = name.startsWith('ultralytics.') ? 'a FastSAM or YOLO model of Ultralytics' : 'a whole model';
  return new PickleError(
    `holds ${what} as Python objects (${printable(name)}), which only its code can read: load it with PyTorch and save its ` +
      'state_dict() alone',
  );
}

/** The refusal of a name, worded for the person who has the file. */
export function refused(name: string): PickleError {
  return new PickleError(
    `refused ${printable(name)}: a checkpoint may hold only tensors, plain containers and values that do nothing, and ` +
      'nothing in it is executed. If you trust the file, load it with PyTorch and save its state_dict alone',
  );
}

/** A value's name for an error message. */
export function nameOf(value: PickleValue): string {
  if (value instanceof PyGlobal) return printable(value.name);
  if (value instanceof PyOpaque) return printable(value.what);
  if (value instanceof PyTensor) return 'a tensor';
  if (value instanceof PyStorage) return 'a storage';
  if (value instanceof PyDict) return 'a dict';
  if (value instanceof PyTuple) return 'a tuple';
  if (value instanceof PyList) return 'a list';
  if (value instanceof PySet) return 'a set';
  return value === null ? 'None' : `a ${typeof value}`;
}

/** A name from a file must not break a terminal or flood a log. */
function printable(name: string): string {
  const clean = name.replace(/[^\x20-\x7e]/g, '?');
  return clean.length > 200 ? `${clean.slice(0, 200)}...` : clean;
}

/** Protocol 2 writes Python 2's names of what is built in. */
function canonical(name: string): string {
  if (!name.startsWith('__builtin__.')) return name;
  const old = name.slice('__builtin__.'.length);
  const now = new Map([
    ['long', 'int'],
    ['unicode', 'str'],
    ['xrange', 'range'],
  ]).get(old);
  return `builtins.${now ?? old}`;
}

function orderedDict(args: readonly PickleValue[], name: string): PyDict {
  const dict = new PyDict();
  const [pairs] = args;
  if (pairs === undefined) return dict;
  if (!(pairs instanceof PyList || pairs instanceof PyTuple) || args.length !== 1) throw badArguments(name);
  for (const pair of pairs.items) {
    if (!(pair instanceof PyTuple || pair instanceof PyList) || pair.items.length !== 2)
      throw badArguments(name);
    setItem(dict, pair.items[0] as PickleValue, pair.items[1] as PickleValue);
  }
  return dict;
}

/** `dict[key] = value` for keys that Python can hash. */
export function setItem(dict: PyDict, key: PickleValue, value: PickleValue): void {
  if (key instanceof PyList || key instanceof PyDict || key instanceof PySet) {
    throw new PickleError(`${nameOf(key)} cannot be the key of a dict`);
  }
  dict.entries.set(key, value);
}

function size(args: readonly PickleValue[], name: string): PyTuple {
  const [items] = args;
  if (args.length !== 1 || !(items instanceof PyTuple)) throw badArguments(name);
  return items;
}

function rebuildParameter(args: readonly PickleValue[], name: string): PyTensor {
  const [data] = args;
  if (!(data instanceof PyTensor) || args.length < 3 || args.length > 4) throw badArguments(name);
  return data;
}

/** (function, type, arguments, state): a tensor that has attributes of its own. */
function rebuildFromType(args: readonly PickleValue[], name: string): PickleValue {
  const [rebuild, type, inner] = args;
  // Not itself: a file could nest it without end.
  const isPlain = rebuild instanceof PyGlobal && rebuild.name.startsWith('torch._utils._rebuild_');
  if (!isPlain || !(type instanceof PyGlobal && type.known) || args.length !== 4) throw badArguments(name);
  return call(rebuild, inner ?? null);
}

/** (storage, offset, size, stride, requires_grad, hooks[, dtype in v3][, metadata]) */
function rebuildTensor(args: readonly PickleValue[], name: string, hasDType: boolean): PyTensor {
  const [storage, offset, shapeTuple, strideTuple] = args;
  const fields = hasDType ? 7 : 6;
  if (!(storage instanceof PyStorage) || args.length < fields || args.length > fields + 1)
    throw badArguments(name);
  const shape = counts(shapeTuple);
  const strides = counts(strideTuple);
  if (!isCount(offset) || !shape || !strides || strides.length !== shape.length) throw badArguments(name);

  let dtype = storage.dtype;
  if (hasDType) {
    const named = args[6];
    dtype = named instanceof PyGlobal ? DTYPES.get(named.name) : undefined;
  }
  if (!dtype) throw new PickleError(`${name} does not say the element type of a tensor`);
  const metadata = args[fields];
  if (metadata instanceof PyDict && metadata.entries.size > 0) {
    // Lazy negation or conjugation: the stored numbers are not the tensor's.
    throw new PickleError(`${name} of a tensor with metadata (a lazily negated or conjugated view)`);
  }

  const title = `a tensor of shape [${shape.join(', ')}] and strides [${strides.join(', ')}] at ${offset}`;
  const byteLength = tensorBytes(dtype, shape);
  if (byteLength === undefined) throw new PickleError(`${title} has no valid size`);
  const itemBytes = dtypeBits(dtype) / 8;
  let last = offset;
  for (let i = 0; i < shape.length && byteLength > 0; i++) last += (shape[i]! - 1) * strides[i]!;
  const end_bytes = byteLength > 0 ? (last + 1) * itemBytes : offset * itemBytes;
  if (!(end_bytes <= storage.byteLength)) {
    throw new PickleError(`${title} does not lie inside its storage of ${storage.byteLength} bytes`);
  }
  if (!(byteLength <= storage.byteLength)) {
    // Stride 0 could turn one stored number into terabytes.
    throw new PickleError(
      `${title} repeats its storage of ${storage.byteLength} bytes; save a contiguous copy`,
    );
  }
  return new PyTensor(storage, dtype, shape, strides, offset, byteLength);
}

function counts(value: PickleValue | undefined): number[] | undefined {
  if (!(value instanceof PyTuple) || !(value.items.length <= MAX_DIMENSIONS)) return undefined;
  return value.items.every(isCount) ? (value.items as number[]) : undefined;
}

function isCount(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function badArguments(name: string): PickleError {
  return new PickleError(`${name} is called with unexpected arguments`);
}
