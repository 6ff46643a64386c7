// Builds and runs the native test programs (test/native/*_test.cpp), each of which counts its own checks.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildLibrary, buildProgram, runTest, testNames } from '../../scripts/native-tests.mts';

const TEN_MINUTES = 600_000;

describe('native test programs', () => {
  let library: Awaited<ReturnType<typeof buildLibrary>>;
  const counts: Record<string, { passed: number; failed: number }> = {};

  beforeAll(async () => {
    library = await buildLibrary('plain');
  }, TEN_MINUTES);

  // Read by scripts/count-tests.mjs.
  afterAll(() => {
    const folder = path.join(__dirname, '../../build/test-results');
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, 'native.json'), JSON.stringify(counts));
  });

  it.each(testNames())(
    '%s',
    async (name) => {
      counts[name] = { passed: 0, failed: 1 };
      const { passed, failed } = await runTest(
        await buildProgram(library, name, [`test/native/${name}.cpp`]),
      );
      counts[name] = { passed, failed };
      console.log(`${name}: ${passed} passed, ${failed} failed`);
      expect(failed).toBe(0);
    },
    TEN_MINUTES,
  );
});
