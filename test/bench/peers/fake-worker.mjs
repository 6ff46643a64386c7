// A peer that does what its job says: `node fake-worker.mjs JOB`, with `act` and its parameters beside what workers get.
import { spawn } from 'node:child_process';
import { appendFileSync, writeFileSync } from 'node:fs';

const job = JSON.parse(process.argv[2]);
const { act, name, log, size, runs, ms = 10, error = 0, ground = 0 } = job;
if (log) appendFileSync(log, `${name}\n`);

function embedding() {
  const values = new Float32Array(256 * (size / 16) ** 2);
  // Orthogonal to the rest, so that `error` is the relative difference.
  for (let i = 0; i < values.length; i++) values[i] = (i % 2 ? 1 : -1) + ground + error;
  return values;
}

function report(values = embedding()) {
  writeFileSync(job.out, new Uint8Array(values.buffer));
  const runs_ms = Array.from({ length: runs }, (_, i) => ms + i);
  console.log('a library says hello on stdout');
  console.log(
    JSON.stringify({
      load_s: 0.5,
      first_ms: 3 * ms,
      runs_ms,
      peak_rss_mb: 40 + ms,
      versions: { fake: '1.2.3' },
    }),
  );
}

const acts = {
  work: report,
  // Holds more and more in a process that it started, 16 MB each time. Up to 640 MB and for 20 s only: where the code under
  // test is broken, nobody ends it.
  grow() {
    const code = `const held = []; console.log(process.pid); setTimeout(() => process.exit(), 20_000);
      setInterval(() => held.length < 40 && held.push(Buffer.alloc(2 ** 24, 1)), 20);`;
    spawn(process.execPath, ['-e', code], { stdio: 'inherit' });
    setTimeout(() => {}, 20_000);
  },
  hang() {
    console.log(process.pid);
    setTimeout(() => {}, 20_000);
  },
  fail() {
    console.error('Traceback (most recent call last):');
    console.error(job.words);
    process.exitCode = 1;
  },
  die: () => process.kill(process.pid, 'SIGSEGV'),
  garbage: () => console.log('Segmentation complete! {"ms": 1}'),
  silent() {},
  shortReport() {
    report();
    console.log(JSON.stringify({ load_s: 0.5, first_ms: 1, runs_ms: [ms], peak_rss_mb: 1, versions: {} }));
  },
  noEmbedding() {
    console.log(
      JSON.stringify({
        load_s: 1,
        first_ms: 1,
        runs_ms: Array(runs).fill(ms),
        peak_rss_mb: 1,
        versions: {},
      }),
    );
  },
  otherGrid: () => report(new Float32Array(256)),
  notFinite() {
    const values = embedding();
    values[77] = Number.NaN;
    report(values);
  },
  zero: () => report(embedding().fill(0)),
};
acts[act]();
