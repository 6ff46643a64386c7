import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Native code holds a process-wide compute thread: one process per file keeps files independent,
    // and one file at a time keeps two-core machines from timing out.
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 60_000,
  },
});
