// A short run of the fuzzer; longer ones: node test/checkpoint/fuzz-cli.mjs SECONDS
import { expect, test } from 'vitest';
import { fuzzCheckpoints } from './fuzz';

test('mutated checkpoints end in success or a SamError', async () => {
  const report = await fuzzCheckpoints({ files: 600, seed: 20240617 });
  expect(report.files).toBe(600);
  // A fuzzer whose files all die at the door tests only the door.
  expect(report.refusals.size).toBeGreaterThan(15);
  expect(report.accepted).toBeGreaterThan(0);
});
