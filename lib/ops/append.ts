// What the functions of ops share: appending a node of one output, refusing what has no shape, and the shape of convolutions.
import { invalidArgument, SamError } from '../errors';
import { type DType, isValue, type Shape, type Value } from '../graph/graph';
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

/**
 * Refuses what cannot be looked at: call it before a shape is read.
 *
 * @param values that must be there, by name
 * @param records objects with options, sizes or weights, by name
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function checkOperands(
  op: OpName,
  values: Readonly<Record<string, unknown>>,
  records: Readonly<Record<string, unknown>> = {},
): void {
  for (const [name, value] of Object.entries(values)) {
    if (!isValue(value)) throw invalidArgument(`${op}: ${name}`, 'Value of a graph', value);
  }
  for (const [name, value] of Object.entries(records)) {
    if (typeof value !== 'object' || value === null) throw invalidArgument(`${op}: ${name}`, 'object', value);
  }
}

/** @throws SamError ERR_GRAPH unless the condition holds */
export function expect(op: OpName, condition: boolean, expectation: string): void {
  if (!condition) throw new SamError('ERR_GRAPH', `${op}: expected ${expectation}`);
}

/** Shape of x [B, H, W, …] after a convolution with weight [O, …, kh, kw]: [B, H', W', O]. */
export function convolved(op: OpName, x: Value, weight: Value, stride: number, padding: number): Shape {
  for (const [name, value] of Object.entries({ stride, padding })) {
    if (!Number.isSafeInteger(value)) throw invalidArgument(`${op}: ${name}`, 'integer', value);
  }
  expect(op, x.shape.length === 4 && weight.shape.length === 4, 'x [B, H, W, C] and weight [O, I, kh, kw]');
  const side = (axis: 1 | 2) =>
    Math.floor((x.shape[axis] + 2 * padding - weight.shape[axis + 1]) / stride) + 1;
  return [x.shape[0], side(1), side(2), weight.shape[0]];
}

/** Length of the last axis. */
export const last = (value: Value): number => value.shape[value.shape.length - 1];
