// A model as data: typed, shape-checked values and the nodes between them. Nothing is computed here; native code
// decodes the bytes of `encode()`, checks them again and runs them.
import { invalidArgument, SamError } from '../errors';
import type { OpAttributes, OpName } from '../ops';

/** Element types of values. The order is part of the wire format. */
export const DTYPES = ['f32', 'bf16', 'f16', 'u8', 'i32'] as const;
export type DType = (typeof DTYPES)[number];

export type Shape = readonly number[];

const KINDS = { input: 0, weight: 1, computed: 2, parameter: 3 } as const;
const MAGIC = 0x31475342; // "BSG1"
const VERSION = 2;
const ABSENT = 0xffffffff;
const MAX_RANK = 6;

/** A tensor in a graph: a declaration, not data. */
export interface Value {
  readonly graph: Graph;
  readonly id: number;
  readonly kind: keyof typeof KINDS;
  readonly dtype: DType;
  readonly shape: Shape;
  /** Of all but computed values. */
  readonly name?: string;
}

type Attribute = number | boolean | string | readonly number[];

interface Node {
  readonly op: OpName;
  readonly inputs: readonly (Value | undefined)[];
  readonly attributes: Readonly<Record<string, Attribute | undefined>>;
  readonly outputs: readonly (Value | undefined)[];
}

/** Every value that a graph has made. */
const made = new WeakSet<object>();

/** Whether something is a value of a graph; reads none of its properties. */
export function isValue(value: unknown): value is Value {
  return typeof value === 'object' && value !== null && made.has(value);
}

/** What a node's output is declared as. */
export interface Declared {
  readonly shape: Shape;
  readonly dtype: DType;
}

/**
 * A graph under construction. Ops (`lib/ops`) append nodes in execution order.
 *
 * @example
 *   const graph = new Graph();
 *   const x = graph.input('x', [1, 4096, 768]);
 *   graph.output(linear(x, graph.weight('fc.weight', [3072, 768]), { activation: 'gelu' }));
 */
export class Graph {
  private readonly values: Value[] = [];
  private readonly nodes: Node[] = [];
  private readonly byName = new Map<string, Value>();
  private readonly outputList: Value[] = [];

  /** Declares an input. Inputs are given to a run in the order of their declaration. */
  input(name: string, shape: Shape, dtype: DType = 'f32'): Value {
    if (this.byName.has(name))
      throw new SamError('ERR_GRAPH', `Expected every name once but received ${name} again`);
    return this.declare('input', shape, dtype, name);
  }

  /** Declares a weight of the model, or returns the earlier declaration of the same name. */
  weight(name: string, shape: Shape, dtype: DType = 'f32'): Value {
    return this.named('weight', name, shape, dtype);
  }

  /**
   * Declares a parameter, or returns the earlier declaration of the same name: a tensor that may change between runs, see
   * `Session.setParameter`. Nothing that depends on it is folded or packed.
   */
  parameter(name: string, shape: Shape, dtype: DType = 'f32'): Value {
    return this.named('parameter', name, shape, dtype);
  }

  /**
   * Appends a node; used by the functions of `lib/ops`, which know each op's rules.
   *
   * @param outputs undefined for an optional output that nobody asks for
   * @returns the outputs, in the same order
   */
  node<Name extends OpName>(
    op: Name,
    inputs: readonly (Value | undefined)[],
    attributes: OpAttributes[Name],
    outputs: readonly (Declared | undefined)[],
  ): (Value | undefined)[] {
    for (const value of inputs) {
      if (value === undefined) continue;
      if (!isValue(value)) throw invalidArgument(`an input of ${op}`, 'Value of a graph', value);
      if (value.graph !== this) throw new SamError('ERR_GRAPH', 'Expected values of one graph');
    }
    for (const [name, value] of Object.entries(attributes)) {
      if (!isAttribute(value))
        throw invalidArgument(`${op}: ${name}`, 'text, number or list of numbers', value);
    }
    const values = outputs.map((output) => output && this.declare('computed', output.shape, output.dtype));
    this.nodes.push({ op, inputs, attributes, outputs: values });
    return values;
  }

  /** Marks a value as an output. Outputs come back from a run in this order. */
  output(value: Value): void {
    if (!isValue(value)) throw invalidArgument('value', 'Value of a graph', value);
    if (value.graph !== this) throw new SamError('ERR_GRAPH', 'Expected an output of this graph');
    this.outputList.push(value);
  }

  get inputs(): readonly Value[] {
    return this.values.filter((value) => value.kind === 'input');
  }

  get outputs(): readonly Value[] {
    return this.outputList;
  }

  /** Every weight once, in the order of the first declaration. */
  get weights(): readonly Value[] {
    return this.values.filter((value) => value.kind === 'weight');
  }

  /** Op of every node, in execution order: names the rows of a profile. */
  get nodeOps(): readonly OpName[] {
    return this.nodes.map((node) => node.op);
  }

  /** The wire format that `native/core/graph.h` describes. */
  encode(): Uint8Array {
    const writer = new Writer();
    writer.u32(MAGIC);
    writer.u32(VERSION);
    writer.u32(this.values.length);
    for (const value of this.values) {
      writer.u8(KINDS[value.kind]);
      writer.u8(DTYPES.indexOf(value.dtype));
      writer.u8(value.shape.length);
      writer.u8(0);
      for (const dim of value.shape) writer.i64(dim);
      if (value.name !== undefined) writer.text(value.name);
    }
    writer.u32(this.nodes.length);
    for (const node of this.nodes) {
      writer.text(node.op);
      for (const operands of [node.inputs, node.outputs]) {
        writer.u8(operands.length);
        for (const value of operands) writer.u32(value ? value.id : ABSENT);
      }
      const attributes = Object.entries(node.attributes).filter(([, value]) => value !== undefined);
      writer.u8(attributes.length);
      for (const [name, value] of attributes) writer.attribute(name, value as Attribute);
    }
    writer.u32(this.outputList.length);
    for (const value of this.outputList) writer.u32(value.id);
    return writer.finish();
  }

  private named(kind: 'weight' | 'parameter', name: string, shape: Shape, dtype: DType): Value {
    const known = this.byName.get(name);
    if (!known) return this.declare(kind, shape, dtype, name);
    if (known.kind !== kind || known.dtype !== dtype || known.shape.join() !== shape.join()) {
      throw new SamError(
        'ERR_GRAPH',
        `Expected ${name} as ${known.kind} ${known.dtype} [${known.shape}] again but received ${kind} ${dtype} [${shape}]`,
      );
    }
    return known;
  }

  private declare(kind: Value['kind'], shape: Shape, dtype: DType, name?: string): Value {
    if (name !== undefined && typeof name !== 'string') throw invalidArgument('name', 'string', name);
    checkShape(name ?? 'shape', shape);
    if (!DTYPES.includes(dtype)) throw invalidArgument('dtype', `one of: ${DTYPES.join(', ')}`, dtype);
    const value: Value = { graph: this, id: this.values.length, kind, dtype, shape: [...shape], name };
    made.add(value);
    this.values.push(value);
    if (name !== undefined) this.byName.set(name, value);
    return value;
  }
}

function isAttribute(value: unknown): value is Attribute | undefined {
  if (value === undefined || typeof value === 'boolean' || typeof value === 'string') return true;
  const numbers: readonly unknown[] = Array.isArray(value) ? value : [value];
  return numbers.every((number) => typeof number === 'number');
}

/** @param name what errors call it; @throws SamError ERR_INVALID_ARGUMENT for what is no shape of a value */
export function checkShape(name: string, shape: Shape): void {
  const ranked = Array.isArray(shape) && shape.length >= 1 && shape.length <= MAX_RANK;
  if (ranked && shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) return;
  throw invalidArgument(name, 'a shape of 1 to 6 non-negative integers', shape);
}

/** Number of elements of a shape. */
export function elementCount(shape: Shape): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** Grows as needed; little-endian throughout. */
class Writer {
  private bytes = new Uint8Array(4096);
  private view = new DataView(this.bytes.buffer);
  private offset = 0;

  u8(value: number): void {
    const at = this.reserve(1);
    this.view.setUint8(at, value);
  }
  u16(value: number): void {
    const at = this.reserve(2);
    this.view.setUint16(at, value, true);
  }
  u32(value: number): void {
    const at = this.reserve(4);
    this.view.setUint32(at, value, true);
  }
  i64(value: number): void {
    const at = this.reserve(8);
    this.view.setBigInt64(at, BigInt(value), true);
  }
  f64(value: number): void {
    const at = this.reserve(8);
    this.view.setFloat64(at, value, true);
  }
  text(value: string): void {
    const encoded = new TextEncoder().encode(value);
    this.u16(encoded.length);
    const at = this.reserve(encoded.length);
    this.bytes.set(encoded, at);
  }
  /** Text, or one or many numbers. */
  attribute(name: string, value: Attribute): void {
    this.text(name);
    this.u8(typeof value === 'string' ? 1 : 0);
    if (typeof value === 'string') {
      this.text(value);
      return;
    }
    const numbers = typeof value === 'object' ? value : [Number(value)];
    this.u16(numbers.length);
    for (const number of numbers) this.f64(number);
  }
  finish(): Uint8Array {
    return this.bytes.slice(0, this.offset);
  }

  // Returns the offset of `count` fresh bytes. May replace `bytes` and `view`: call it before touching them.
  private reserve(count: number): number {
    const at = this.offset;
    this.offset += count;
    if (this.offset > this.bytes.length) {
      const grown = new Uint8Array(Math.max(this.offset, 2 * this.bytes.length));
      grown.set(this.bytes);
      this.bytes = grown;
      this.view = new DataView(grown.buffer);
    }
    return at;
  }
}
