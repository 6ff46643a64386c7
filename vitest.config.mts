// How the tests run: a process per file. `npm test` runs the project `unit`; `npm run test:all` also what compiles or measures
// for minutes.
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { writeOpIndex } from './scripts/write-op-index.mts';

writeOpIndex();

/**
 * Compilers, benchmarks and fuzzers run here, or a process's memory and threads are looked at: one file at a time, and not with
 * every change.
 */
const SYSTEM = [
  'test/bench/{rows,page-files}.test.ts',
  'test/bench/peers/{cli,rounds,workers}.test.ts',
  'test/bench/study/**/*.test.ts',
  'test/checkpoint/fuzz.test.ts',
  'test/lifecycle/process.test.ts',
  'test/native/**/*.test.ts',
  'test/cuda/{c-library,golden,bench}.test.ts',
  'test/package/{prebuild,build-from-source,documents}.test.ts',
  'tools/**/*.test.ts',
];

export default defineConfig({
  test: {
    // Native code holds a process-wide compute thread: one process per file keeps files independent.
    pool: 'forks',
    // A test that takes this long hangs: others may be using the machine at the same time.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 120_000 } },
    // Tests mean the CPU unless they say otherwise, also where there is a GPU: test/cuda sets the variable itself.
    env: { BA_SAM_CUDA_ADDON: '/none/ba_sam_cuda.node' },
    globalSetup: 'test/support/build-library.ts',
    // Read by scripts/count-tests.mjs. A second run names another file, or it would replace what the first one counted.
    reporters: process.env.CI
      ? [
          'default',
          ['json', { outputFile: `build/test-results/${process.env.BA_SAM_TEST_RESULTS ?? 'vitest'}.json` }],
        ]
      : ['default'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: SYSTEM,
          // Most of a file's time passes in one thread, of this process or of one that it started.
          maxWorkers: Math.min(4, availableParallelism()),
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'system', include: SYSTEM, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
