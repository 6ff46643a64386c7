// The folder of weights, images and ONNX files that export.py makes, once per model and size.
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { failure } from './verdict.mjs';

const EXPORT = path.join(path.dirname(fileURLToPath(import.meta.url)), 'export.py');
/** The trained size: its weights are everybody's. */
const BASE = 1024;

/** What export.py writes today; files of another number are made anew. */
function currentFormat() {
  return Number(/^FORMAT = (\d+)$/m.exec(readFileSync(EXPORT, 'utf8'))[1]);
}

/** The files of one model. */
export class PeerFiles {
  /** @param options { cache, model, python, threads } */
  constructor({ cache, model, python, threads }, run) {
    this.python = python;
    this.model = model;
    this.cache = cache;
    this.threads = threads;
    this.run = run;
    this.format = currentFormat();
    mkdirSync(cache, { recursive: true });
    /** For what workers write; of this process alone. */
    this.scratch = mkdtempSync(path.join(cache, 'turns-'));
  }

  folder(size) {
    return path.join(this.cache, this.model, String(size));
  }

  #isThere(size) {
    try {
      return (
        JSON.parse(readFileSync(path.join(this.folder(size), 'made.json'), 'utf8')).format === this.format
      );
    } catch {
      return false;
    }
  }

  /**
   * Makes what is missing for a size.
   *
   * @param exportMissing why export.py cannot run here, if so
   * @returns {Promise<{ status: string, reason: string } | undefined>} why a size cannot be measured
   */
  async make(size, exportMissing, limits, onLine) {
    const missing = [BASE, size].filter((each, i, list) => !this.#isThere(each) && list.indexOf(each) === i);
    if (missing.length === 0) return undefined;
    if (exportMissing) {
      return { status: 'skipped', reason: `its weights and ONNX files cannot be made: ${exportMissing}` };
    }
    const args = [EXPORT, '--cache', this.cache, '--model', this.model, '--sizes', missing.join()];
    const turn = await this.run({ command: this.python, args }, limits, onLine);
    const failed = failure(turn, limits, size);
    return failed && { status: failed.status, reason: `export.py: ${failed.reason}` };
  }

  /** What a worker is told. */
  job(peer, size, { runs, threads, modules }) {
    const { dtype } = peer;
    const out = path.join(this.scratch, 'embedding.f32');
    return { folder: this.folder(size), base: this.folder(BASE), size, dtype, runs, threads, out, modules };
  }
}
