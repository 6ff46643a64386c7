// What a profile says of a node.
import type { OpName } from '../ops';

/** One node of a profiled run, in execution order. */
export interface ProfileRow {
  readonly op: OpName;
  readonly milliseconds: number;
  /**
   * Multiply-adds × 2 of its products and convolutions, as the graph's shapes say. Softmax, biases of any kind,
   * normalisations, activations, position tables, copies and the masks' upscaling are not counted.
   */
  readonly flops: number;
}
