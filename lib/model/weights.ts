// Which weights a module asks for, and the dtype that each is kept in.
import type { Graph, Shape, Value } from '../graph/graph';
import type { ComputeDType } from '../options/compute';

export type { ComputeDType };

/**
 * Declares weights under a common prefix, the way a checkpoint nests them. Matrices and convolutions are kept in the dtype
 * that they are multiplied in; vectors and tables of positions stay in f32.
 */
export class WeightScope {
  /** @param compute dtype of the products */
  constructor(
    readonly graph: Graph,
    private readonly prefix: string,
    private readonly compute: ComputeDType,
  ) {}

  /** The scope `name` inside this one. */
  sub(name: string): WeightScope {
    return new WeightScope(this.graph, `${this.prefix}${name}.`, this.compute);
  }

  get(name: string, shape: Shape): Value {
    const full = this.prefix + name;
    const isMatrix = full.endsWith('.weight') && shape.length >= 2;
    return this.graph.weight(full, shape, isMatrix ? this.compute : 'f32');
  }

  /** `weight` [out, in] and `bias` [out] of a linear layer. */
  linear(name: string, out: number, input: number): { weight: Value; bias: Value } {
    return { weight: this.get(`${name}.weight`, [out, input]), bias: this.get(`${name}.bias`, [out]) };
  }

  /** `weight` and `bias` of a normalisation over `channels`. */
  norm(name: string, channels: number): [weight: Value, bias: Value] {
    return [this.get(`${name}.weight`, [channels]), this.get(`${name}.bias`, [channels])];
  }
}
