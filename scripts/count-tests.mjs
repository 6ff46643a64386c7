// Adds up what vitest and the native test programs counted and prints "N passed, N failed, N skipped" as the last line:
//   node scripts/count-tests.mjs [FAILED_STEPS]      steps of .ci/run that are no tests and failed
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './native-sources.mjs';

const folder = path.join(root, 'build/test-results');
const sums = { passed: 0, failed: Number(process.argv[2] ?? 0), skipped: 0 };
for (const name of existsSync(folder) ? readdirSync(folder) : []) {
  const results = JSON.parse(readFileSync(path.join(folder, name), 'utf8'));
  if (name.startsWith('vitest')) {
    sums.passed += results.numPassedTests;
    sums.failed += results.numFailedTests;
    sums.skipped += results.numPendingTests + results.numTodoTests;
  } else {
    for (const counts of Object.values(results)) {
      sums.passed += counts.passed;
      sums.failed += counts.failed;
      sums.skipped += counts.skipped ?? 0;
    }
  }
}
console.log(`${sums.passed} passed, ${sums.failed} failed, ${sums.skipped} skipped`);
