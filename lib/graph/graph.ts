// A model as data: typed, shape-checked values and the nodes between them. Nothing is computed here; native code
// decodes the bytes of `encode()`, checks them again and runs them.
import { invalidArgument, SamError } from '../errors';

/** Element types of values. The order is part of the wire format. */
export const DTYPES = ['f32', 'bf16', 'f16', 'u8', 'i32'] as const;
export type DType = (typeof DTYPES)[number];

export type Shape = readonly number[];

const KINDS = { input: 0, weight: 1, computed: 2 } as const;
const MAGIC = 0x31475342; // "BSG1"
const VERSION = 1;
const ABSENT = 0xffffffff;
const MAX_RANK = 6;

/** A tensor in a graph: a declaration, not data. */
export interface Value {
  readonly graph: Graph;
  readonly id: number;
  readonly kind: keyof typeof KINDS;
  readonly dtype: DType;
  readonly shape: Shape;
  /** Of inputs and weights. */
  readonly name?: string;
}

interface Node {
  readonly op: number;
  readonly inputs: readonly (Value | undefined)[];
  readonly attributes: readonly number[];
  readonly output: Value;
}

/**
 * A graph under construction. Ops (`lib/graph/ops.ts`) append nodes in execution order.
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
    const known = this.byName.get(name);
    if (!known) return this.declare('weight', shape, dtype, name);
    if (known.kind !== 'weight' || known.dtype !== dtype || known.shape.join() !== shape.join()) {
      throw new SamError(
        'ERR_GRAPH',
        `Expected ${name} as ${known.dtype} [${known.shape}] again but received ${dtype} [${shape}]`,
      );
    }
    return known;
  }

  /** Appends a node; used by the functions of `ops.ts`, which know each op's rules. */
  node(
    op: number,
    inputs: readonly (Value | undefined)[],
    attributes: readonly number[],
    shape: Shape,
    dtype: DType,
  ): Value {
    for (const value of inputs) {
      if (value && value.graph !== this) throw new SamError('ERR_GRAPH', 'Expected values of one graph');
    }
    const output = this.declare('computed', shape, dtype);
    this.nodes.push({ op, inputs, attributes, output });
    return output;
  }

  /** Marks a value as an output. Outputs come back from a run in this order. */
  output(value: Value): void {
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

  /** Op index of every node, in execution order: names the rows of a profile. */
  get nodeOps(): readonly number[] {
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
      writer.u8(node.op);
      writer.u8(node.inputs.length);
      writer.u16(node.attributes.length);
      for (const input of node.inputs) writer.u32(input ? input.id : ABSENT);
      writer.u32(node.output.id);
      for (const attribute of node.attributes) writer.f64(attribute);
    }
    writer.u32(this.outputList.length);
    for (const value of this.outputList) writer.u32(value.id);
    return writer.finish();
  }

  private declare(kind: Value['kind'], shape: Shape, dtype: DType, name?: string): Value {
    const valid = shape.length >= 1 && shape.length <= MAX_RANK;
    if (!valid || !shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
      throw invalidArgument(name ?? 'shape', 'a shape of 1 to 6 non-negative integers', [...shape]);
    }
    const value: Value = { graph: this, id: this.values.length, kind, dtype, shape: [...shape], name };
    this.values.push(value);
    if (name !== undefined) this.byName.set(name, value);
    return value;
  }
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
