// Runs the checkpoint fuzzer from a shell: node test/checkpoint/fuzz-cli.mjs SECONDS [SEED]
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

const seconds = Number(process.argv[2] ?? 60);
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);
const { module } = await runnerImport(fileURLToPath(new URL('fuzz.ts', import.meta.url)), {
  configFile: false,
});
console.log(`seed ${seed}`);
const report = await module.fuzzCheckpoints({ seconds, seed });
const refusals = [...report.refusals].sort((a, b) => b[1] - a[1]);
for (const [kind, count] of refusals) console.log(`${String(count).padStart(8)} ${kind}`);
console.log({ ...report, refusals: refusals.length });
