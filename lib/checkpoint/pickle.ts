// A restricted unpickler for `data.pkl` of PyTorch checkpoints: protocols 2 to 5, tensors and plain containers.
// A pickle is a program for a stack machine that may import and call anything; this machine has no such power,
// and stops with the name of whatever was asked for.
import { TimeSlice } from '../time-slice';
import {
  build,
  call,
  findGlobal,
  isModule,
  makeInstance,
  nameOf,
  persistentLoad,
  refused,
  setItem,
  wholeModel,
} from './pickle-torch';
import {
  PickleError,
  type PickleValue,
  PyDict,
  PyGlobal,
  PyList,
  PyOpaque,
  PySet,
  PyTuple,
} from './pickle-values';

/** Largest `data.pkl` in bytes; that of ViT-H has about 100 kB. */
export const MAX_PICKLE_BYTES = 64 * 1024 * 1024;
const MAX_VALUES = 2_000_000;
/** Values between two marks: one SETITEMS or TUPLE stays within milliseconds. Python writes at most 1000. */
const MAX_STACK = 100_000;
const MAX_MARKS = 1000;
const MAX_STRING_BYTES = 4 * 1024 * 1024;
const MAX_NAME_BYTES = 1024;
/** torch.save stores 64-bit seeds; nothing in a checkpoint needs larger integers. */
const MAX_INTEGER_BYTES = 32;
/** Instructions between two looks at the clock. */
const STEPS = 512;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads a pickle without executing anything.
 *
 * @param bytes the whole pickle
 * @returns the pickled value
 * @throws PickleError naming what was refused or what is wrong
 */
export async function unpickle(bytes: Uint8Array): Promise<PickleValue> {
  const machine = new Machine(bytes);
  const slice = new TimeSlice();
  while (!machine.run(STEPS)) {
    if (slice.due()) await slice.next();
  }
  return machine.result;
}

class Machine {
  result: PickleValue = null;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #stack: PickleValue[] = [];
  readonly #marks: PickleValue[][] = [];
  readonly #memo = new Map<number, PickleValue>();
  /** Names that may be classes of dicts, in their order, and whether one of those got items. */
  readonly #classes = new Map<string, boolean>();
  #values = 0;

  constructor(bytes: Uint8Array) {
    if (bytes[0] !== 0x80) throw new PickleError('the pickle does not begin with its protocol (2 to 5)');
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Executes up to `steps` instructions or about a megabyte of pickle; true when the pickle has ended. */
  run(steps: number): boolean {
    const end = this.#at + 1024 * 1024;
    for (let i = 0; i < steps && this.#at < end; i++) {
      if (this.#step()) return true;
    }
    return false;
  }

  #step(): boolean {
    const at = this.#at;
    const op = this.#u8();
    switch (op) {
      case 0x80: {
        const protocol = this.#u8();
        if (!(protocol >= 2 && protocol <= 5))
          throw new PickleError(`pickle protocol ${protocol} is not supported`);
        break;
      }
      case 0x95: // FRAME: a hint for buffered readers
        if (!(this.#length64() <= this.#bytes.length - this.#at)) throw this.#truncated();
        break;
      case 0x2e: // STOP
        this.result = this.#pop();
        if (this.#stack.length > 0 || this.#marks.length > 0)
          throw new PickleError('the pickle ends too early');
        if (this.#firstClass() !== undefined) throw refused(this.#firstClass()!);
        return true;

      // Stack
      case 0x28: // MARK
        if (!(this.#marks.length < MAX_MARKS))
          throw new PickleError(`the pickle nests deeper than ${MAX_MARKS}`);
        this.#marks.push(this.#stack);
        this.#stack = [];
        break;
      case 0x30: // POP, which also takes a mark away when nothing lies above it
        if (this.#stack.length > 0) this.#stack.pop();
        else this.#popMark();
        break;
      case 0x31: // POP_MARK
        this.#popMark();
        break;
      case 0x32: // DUP
        this.#push(this.#top());
        break;

      // Constants
      case 0x4e: // NONE
        this.#push(null);
        break;
      case 0x88: // NEWTRUE
        this.#push(true);
        break;
      case 0x89: // NEWFALSE
        this.#push(false);
        break;
      case 0x4a: // BININT
        this.#push(this.#view.getInt32(this.#advance(4), true));
        break;
      case 0x4b: // BININT1
        this.#push(this.#u8());
        break;
      case 0x4d: // BININT2
        this.#push(this.#view.getUint16(this.#advance(2), true));
        break;
      case 0x8a: // LONG1
        this.#push(this.#integer(this.#u8()));
        break;
      case 0x8b: // LONG4
        this.#push(this.#integer(this.#view.getInt32(this.#advance(4), true)));
        break;
      case 0x47: // BINFLOAT, big-endian
        this.#push(this.#view.getFloat64(this.#advance(8), false));
        break;
      case 0x58: // BINUNICODE
        this.#push(this.#text(this.#u32()));
        break;
      case 0x8c: // SHORT_BINUNICODE
        this.#push(this.#text(this.#u8()));
        break;
      case 0x8d: // BINUNICODE8
        this.#push(this.#text(this.#length64()));
        break;
      case 0x42: // BINBYTES
        this.#pushBytes(this.#u32());
        break;
      case 0x43: // SHORT_BINBYTES
        this.#pushBytes(this.#u8());
        break;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        this.#pushBytes(this.#length64());
        break;

      // Containers
      case 0x7d: // EMPTY_DICT
        this.#push(new PyDict());
        break;
      case 0x5d: // EMPTY_LIST
        this.#push(new PyList());
        break;
      case 0x29: // EMPTY_TUPLE
        this.#push(new PyTuple([]));
        break;
      case 0x8f: // EMPTY_SET
        this.#push(new PySet());
        break;
      case 0x61: // APPEND
        this.#append([this.#pop()]);
        break;
      case 0x65: // APPENDS
        this.#append(this.#popMark());
        break;
      case 0x73: {
        // SETITEM
        const value = this.#pop();
        this.#setItems([this.#pop(), value]);
        break;
      }
      case 0x75: // SETITEMS
        this.#setItems(this.#popMark());
        break;
      case 0x64: {
        // DICT
        const items = this.#popMark();
        this.#push(new PyDict());
        this.#setItems(items);
        break;
      }
      case 0x6c: // LIST
        this.#push(new PyList(this.#popMark()));
        break;
      case 0x74: // TUPLE
        this.#push(new PyTuple(this.#popMark()));
        break;
      case 0x85: // TUPLE1, TUPLE2, TUPLE3
      case 0x86:
      case 0x87:
        this.#push(new PyTuple(this.#popMany(op - 0x84)));
        break;
      case 0x90: // ADDITEMS
        this.#popMark();
        if (!(this.#top() instanceof PySet)) throw new PickleError('ADDITEMS on something that is not a set');
        break;
      case 0x91: // FROZENSET
        this.#popMark();
        this.#push(new PySet());
        break;

      // Memo
      case 0x71: // BINPUT
        this.#put(this.#u8());
        break;
      case 0x72: // LONG_BINPUT
        this.#put(this.#u32());
        break;
      case 0x94: // MEMOIZE
        this.#put(this.#memo.size);
        break;
      case 0x68: // BINGET
        this.#get(this.#u8());
        break;
      case 0x6a: // LONG_BINGET
        this.#get(this.#u32());
        break;

      // Names and calls: allowed names only, see pickle-torch.ts
      case 0x63: // GLOBAL
        this.#pushGlobal(this.#line(), this.#line());
        break;
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = this.#popMany(2);
        if (typeof module !== 'string' || typeof name !== 'string') {
          throw new PickleError('STACK_GLOBAL without a module and a name');
        }
        this.#pushGlobal(module, name);
        break;
      }
      case 0x52: {
        // REDUCE
        const args = this.#pop();
        this.#push(call(this.#pop(), args));
        break;
      }
      case 0x62: {
        // BUILD
        const state = this.#pop();
        if (isModule(state)) throw wholeModel(this.#firstClass() ?? nameOf(this.#top()));
        build(this.#top());
        break;
      }
      case 0x51: // BINPERSID
        this.#push(persistentLoad(this.#pop()));
        break;
      case 0x81: {
        // NEWOBJ
        const args = this.#pop();
        this.#push(makeInstance(this.#pop(), args));
        break;
      }
      case 0x92: // NEWOBJ_EX
        this.#popMany(2);
        throw this.#refuseInstance(this.#pop());
      case 0x69: // INST
        throw refused(`${this.#line()}.${this.#line()}`);
      case 0x6f: // OBJ
        throw this.#refuseInstance(this.#popMark()[0] ?? null);
      case 0x82: // EXT1, EXT2, EXT4
        throw refused(`copyreg extension ${this.#u8()}`);
      case 0x83:
        throw refused(`copyreg extension ${this.#view.getUint16(this.#advance(2), true)}`);
      case 0x84:
        throw refused(`copyreg extension ${this.#u32()}`);
      default:
        throw new PickleError(
          `unsupported pickle instruction 0x${op.toString(16).padStart(2, '0')} at byte ${at}`,
        );
    }
    return false;
  }

  #refuseInstance(type: PickleValue): PickleError {
    return refused(
      type instanceof PyGlobal ? `an instance of ${type.name}` : `an instance of ${nameOf(type)}`,
    );
  }

  #pushGlobal(module: string, name: string): void {
    const found = findGlobal(module, name);
    if (!found.known && !this.#classes.has(found.name)) this.#classes.set(found.name, false);
    this.#push(found);
  }

  /** The first class of which nothing says that it is that of a dict. */
  #firstClass(): string | undefined {
    return [...this.#classes].find(([, isDict]) => !isDict)?.[0];
  }

  #push(value: PickleValue): void {
    if (!(this.#stack.length < MAX_STACK))
      throw new PickleError(`more than ${MAX_STACK} values in one container`);
    if (!(this.#values++ < MAX_VALUES)) throw new PickleError(`more than ${MAX_VALUES} values`);
    this.#stack.push(value);
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined) throw new PickleError('the pickle takes a value from an empty stack');
    return value;
  }

  #popMany(count: number): PickleValue[] {
    if (!(this.#stack.length >= count)) throw new PickleError('the pickle takes a value from an empty stack');
    return this.#stack.splice(this.#stack.length - count, count);
  }

  #popMark(): PickleValue[] {
    const below = this.#marks.pop();
    if (!below) throw new PickleError('the pickle has no mark where it needs one');
    const items = this.#stack;
    this.#stack = below;
    return items;
  }

  #top(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined) throw new PickleError('the pickle takes a value from an empty stack');
    return value;
  }

  #append(items: readonly PickleValue[]): void {
    const list = this.#top();
    if (!(list instanceof PyList)) throw new PickleError(`APPENDS on ${nameOf(list)}`);
    for (const item of items) list.items.push(item);
  }

  #setItems(items: readonly PickleValue[]): void {
    const dict = this.#top();
    if (!(dict instanceof PyDict)) throw new PickleError(`SETITEMS on ${nameOf(dict)}`);
    if (items.length % 2 !== 0) throw new PickleError('SETITEMS has a key without a value');
    if (dict.of !== undefined && items.length > 0) this.#classes.set(dict.of, true);
    for (let i = 0; i < items.length; i += 2) setItem(dict, items[i]!, items[i + 1]!);
  }

  #put(index: number): void {
    // A Map, because the index comes from the file: an array would grow up to it.
    if (!(this.#memo.size < MAX_VALUES)) throw new PickleError(`more than ${MAX_VALUES} memo entries`);
    this.#memo.set(index, this.#top());
  }

  #get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw new PickleError(`memo entry ${index} was never stored`);
    this.#push(value);
  }

  #pushBytes(length: number): void {
    // No tensor is stored this way, so the bytes (numpy arrays, random generator states and the like) are not kept.
    this.#advance(length);
    this.#push(new PyOpaque('bytes'));
  }

  #text(length: number): string {
    if (!(length <= MAX_STRING_BYTES)) throw new PickleError(`a string of ${length} bytes is too long`);
    const start = this.#advance(length);
    try {
      return utf8.decode(this.#bytes.subarray(start, start + length));
    } catch {
      throw new PickleError(`a string at byte ${start} is not valid UTF-8`);
    }
  }

  #line(): string {
    const end = this.#bytes.subarray(this.#at, this.#at + MAX_NAME_BYTES).indexOf(0x0a);
    if (end < 0) throw new PickleError('a module or class name does not end');
    const text = this.#text(end);
    this.#at++;
    return text;
  }

  #integer(length: number): number | bigint {
    if (!(length >= 0 && length <= MAX_INTEGER_BYTES)) throw new PickleError(`an integer of ${length} bytes`);
    const start = this.#advance(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[start + i]!);
    value = BigInt.asIntN(Math.max(1, length * 8), value);
    const small = Number(value);
    return Number.isSafeInteger(small) ? small : value;
  }

  #length64(): number {
    const value = this.#view.getBigUint64(this.#advance(8), true);
    if (!(value <= BigInt(this.#bytes.length))) throw this.#truncated();
    return Number(value);
  }

  #u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  #u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  /** Steps over `length` bytes and returns where they start. */
  #advance(length: number): number {
    const start = this.#at;
    if (!(length <= this.#bytes.length - start)) throw this.#truncated();
    this.#at = start + length;
    return start;
  }

  #truncated(): PickleError {
    return new PickleError(`the pickle is truncated at byte ${this.#at}`);
  }
}
