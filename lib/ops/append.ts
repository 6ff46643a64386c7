// What the functions of ops share: appending a node of one output, and refusing what has no shape.
import { SamError } from '../errors';
import type { DType, Shape, Value } from '../graph/graph';
import type { OpAttributes, OpName } from '.';

/** Appends a node with one output to the graph of its first input. */
export function append<Name extends OpName>(
  op: Name,
  inputs: readonly (Value | undefined)[],
  attributes: OpAttributes[Name],
  shape: Shape,
  dtype: DType,
): Value {
  return inputs[0]!.graph.node(op, inputs, attributes, [{ shape, dtype }])[0]!;
}

/** @throws SamError ERR_GRAPH unless the condition holds */
export function expect(op: OpName, condition: boolean, expectation: string): void {
  if (!condition) throw new SamError('ERR_GRAPH', `${op}: expected ${expectation}`);
}

/** Length of the last axis. */
export const last = (value: Value): number => value.shape[value.shape.length - 1];
