// concat: one after another along the tokens.
import { invalidArgument } from '../errors';
import type { Value } from '../graph/graph';
import { append, checkOperands, expect } from './append';

/** What one node takes. */
const MAX_INPUTS = 12;

/** [B or 1, N_i, C] … → [B, ΣN_i, C], at most 12. */
export function concat(values: readonly Value[]): Value {
  if (!Array.isArray(values)) throw invalidArgument('concat: values', 'list of values', values);
  checkOperands('concat', { ...Array.from<unknown>(values) });
  expect('concat', values.length >= 1 && values.length <= MAX_INPUTS, `1 to ${MAX_INPUTS} inputs`);
  const batch = values.find((value) => value.shape[0] !== 1)?.shape[0] ?? 1;
  const tokens = values.reduce((sum, value) => sum + value.shape[1], 0);
  return append('concat', values, {}, [batch, tokens, values[0].shape[2]], values[0].dtype);
}
