// How the tests run: one process per file, one file at a time.
import { defineConfig } from 'vitest/config';
import { writeOpIndex } from './scripts/write-op-index.mts';

writeOpIndex();

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'tools/**/*.test.ts'],
    // Native code holds a process-wide compute thread: one process per file keeps files independent,
    // and one file at a time keeps two-core machines from timing out.
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 60_000,
    // Tests mean the CPU unless they say otherwise, also where there is a GPU: test/cuda sets the variable itself.
    env: { BA_SAM_CUDA_ADDON: '/none/ba_sam_cuda.node' },
    // Read by scripts/count-tests.mjs. A second run names another file, or it would replace what the first one counted.
    reporters: process.env.CI
      ? [
          'default',
          ['json', { outputFile: `build/test-results/${process.env.BA_SAM_TEST_RESULTS ?? 'vitest'}.json` }],
        ]
      : ['default'],
  },
});
