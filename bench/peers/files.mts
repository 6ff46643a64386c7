// The folder of weights, images and ONNX files that export.py makes, once per model and size.
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Job } from './list.mts';
import type { PeerOptions } from './options.mts';
import type { Peer } from './rounds.mts';
import type { Command, Limits, Turn } from './turn.mts';
import { failure, type Verdict } from './verdict.mts';

const EXPORT = path.join(path.dirname(fileURLToPath(import.meta.url)), 'export.py');
/** The trained size: its weights are everybody's. */
const BASE = 1024;

/** What export.py writes today; files of another number are made anew. */
function currentFormat(): number {
  return Number(/^FORMAT = (\d+)$/m.exec(readFileSync(EXPORT, 'utf8'))?.[1]);
}

type Run = (command: Command, limits: Limits, onLine: (line: string) => void) => Promise<Turn>;

/** The files of one model. */
export class PeerFiles {
  /** For what workers write; of this process alone. */
  readonly scratch: string;
  readonly #options: PeerOptions;
  readonly #run: Run;
  readonly #format = currentFormat();

  constructor(options: PeerOptions, run: Run) {
    this.#options = options;
    this.#run = run;
    const { cache } = options;
    mkdirSync(cache, { recursive: true });
    this.scratch = mkdtempSync(path.join(cache, 'turns-'));
  }

  folder(size: number): string {
    return path.join(this.#options.cache, this.#options.model, String(size));
  }

  #isThere(size: number): boolean {
    try {
      return (
        JSON.parse(readFileSync(path.join(this.folder(size), 'made.json'), 'utf8')).format === this.#format
      );
    } catch {
      return false;
    }
  }

  /**
   * Makes what is missing for a size.
   *
   * @param exportMissing why export.py cannot run here, if so
   * @returns why a size cannot be measured, if so
   */
  async make(
    size: number,
    exportMissing: string | undefined,
    limits: Limits,
    onLine: (line: string) => void,
  ): Promise<Verdict | undefined> {
    const missing = [BASE, size].filter((each, i, list) => !this.#isThere(each) && list.indexOf(each) === i);
    if (missing.length === 0) return undefined;
    if (exportMissing) {
      return { status: 'skipped', reason: `its weights and ONNX files cannot be made: ${exportMissing}` };
    }
    const { cache, model, python } = this.#options;
    const args = [EXPORT, '--cache', cache, '--model', model, '--sizes', missing.join()];
    const turn = await this.#run({ command: python, args }, limits, onLine);
    const failed = failure(turn, limits, size);
    return failed && { status: failed.status, reason: `export.py: ${failed.reason}` };
  }

  /** What a worker is told. */
  job({ dtype }: Peer, size: number): Job {
    const { runs, threads, modules } = this.#options;
    const out = path.join(this.scratch, 'embedding.f32');
    return { folder: this.folder(size), base: this.folder(BASE), size, dtype, runs, threads, out, modules };
  }
}
