// Builds and runs the emulation's own test programs (*_test.cpp), each of which counts its own checks.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { emulationTestNames, runEmulationTest } from '../../../scripts/cuda-emulation.mts';

const TEN_MINUTES = 600_000;

describe('host emulation of CUDA', () => {
  const counts: Record<string, { passed: number; failed: number }> = {};

  // Read by scripts/count-tests.mjs.
  afterAll(() => {
    const folder = path.join(__dirname, '../../../build/test-results');
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, 'cuda-emulation.json'), JSON.stringify(counts));
  });

  it.each(emulationTestNames())(
    '%s',
    async (name) => {
      counts[name] = { passed: 0, failed: 1 };
      const { passed, failed } = await runEmulationTest(name);
      counts[name] = { passed, failed };
      console.log(`${name}: ${passed} passed, ${failed} failed`);
      expect(failed).toBe(0);
    },
    TEN_MINUTES,
  );
});
