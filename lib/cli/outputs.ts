// Output files are checked before the work starts: nobody should wait for an encode to learn of a typing error.
import path from 'node:path';
import { assertWritable } from '../image/output';
import { UsageError } from './errors';

/** An output that the user asked for. */
export interface Output {
  option: string;
  file: string | undefined;
  /** File endings that the option takes; absent = any. */
  extensions?: readonly string[];
}

/**
 * @param inputs files that are read: none of them may be overwritten
 * @throws UsageError, SamError
 */
export async function checkOutputs(
  outputs: readonly Output[],
  inputs: readonly (string | undefined)[],
): Promise<void> {
  const seen = new Map<string, string>();
  for (const input of inputs) if (input !== undefined) seen.set(path.resolve(input), 'an input');
  for (const { option, file, extensions } of outputs) {
    if (file === undefined) continue;
    if (extensions && !extensions.includes(path.extname(file).toLowerCase())) {
      throw new UsageError(
        `Expected a file ending in ${extensions.join(', ')} for ${option} but received ${JSON.stringify(file)}`,
      );
    }
    const other = seen.get(path.resolve(file));
    if (other)
      throw new UsageError(
        `Expected a file of its own for ${option} but ${JSON.stringify(file)} is ${other} too`,
      );
    seen.set(path.resolve(file), `the file of ${option}`);
    await assertWritable(file);
  }
}
