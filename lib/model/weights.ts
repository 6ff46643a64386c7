// Which weights a module asks for, and the dtype that each is kept in.
import type { DType, Graph, Shape, Value } from '../graph/graph';
import type { ComputeDType } from '../options/compute';

export type { ComputeDType };

/**
 * The dtype a weight is kept in. Matrices and convolutions of the image encoder follow the compute dtype; vectors,
 * position tables and the small prompt encoder and mask decoder (4 M parameters) stay in f32.
 */
export function weightDType(name: string, shape: Shape, compute: ComputeDType): DType {
  const isEncoderMatrix = name.startsWith('image_encoder.') && name.endsWith('.weight') && shape.length >= 2;
  return isEncoderMatrix ? compute : 'f32';
}

/** Declares weights under a common prefix, the way a checkpoint nests them. */
export class WeightScope {
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
    return this.graph.weight(full, shape, weightDType(full, shape, this.compute));
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
