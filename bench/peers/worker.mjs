// What a turn of every peer in Node.js has in common. A worker is started as `node worker-….mjs JOB`; JOB is JSON:
//   { folder, base: folders of the size and of 1024 px (export.py), size, dtype, runs, threads, out, modules }
// It loads, runs WARM_UP times, then `runs` times, writes the embedding [256, g, g] f32 to `out` and prints one line of
// JSON. load_s counts from the worker's first line, its packages included; times are those of one call as a program sees
// it. What went wrong is one line on stderr.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

/**
 * Runs that are left out. Two: onnxruntime takes 7.3 s in its first run at 1024 px, 11.2 s in the second, which moves its memory
 * to one block, and 6.3 to 6.9 s from then on.
 */
const WARM_UP = 2;

/** A `require` that finds the packages of a folder: node_modules itself or what holds it. */
export function requireFrom(folder) {
  return createRequire(path.join(folder, '_'));
}

/** The version of a package; its own package.json may be hidden by its exports. */
export function versionOf(require, name) {
  const entry = require.resolve(name);
  const at = entry.lastIndexOf(path.join('node_modules', name));
  const folder = entry.slice(0, at + path.join('node_modules', name).length);
  return JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')).version;
}

/** The normalised image [1, 3, size, size]. */
export function readPixels({ folder }) {
  return floatsOf(readFileSync(path.join(folder, 'pixels.f32')));
}

function floatsOf(bytes) {
  // A small file may lie unaligned in Node's pool.
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

/** Nobody watches the memory of a process whose benchmark was killed. */
function endWithParent() {
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || process.exit(1), 500).unref();
}

/**
 * Runs a turn.
 *
 * @param load job → { encode, versions }; encode resolves to the embedding's Float32Array
 */
export async function runWorker(load) {
  const started = performance.now();
  endWithParent();
  try {
    const job = JSON.parse(process.argv[2]);
    const { encode, versions } = await load(job);
    const load_s = (performance.now() - started) / 1000;
    const times = [];
    let embedding;
    for (let i = 0; i < job.runs + WARM_UP; i++) {
      const start = performance.now();
      embedding = await encode();
      times.push(performance.now() - start);
    }
    writeFileSync(job.out, new Uint8Array(embedding.buffer, embedding.byteOffset, embedding.byteLength));
    const report = {
      load_s,
      first_ms: times[0],
      runs_ms: times.slice(WARM_UP),
      peak_rss_mb: process.resourceUsage().maxRSS / 1024,
      versions: { node: process.versions.node, ...versions },
    };
    process.stdout.write(`${JSON.stringify(report)}\n`);
  } catch (error) {
    console.error(`${error?.code ?? error?.name}: ${error?.message ?? error}`);
    process.exitCode = 1;
  }
}
