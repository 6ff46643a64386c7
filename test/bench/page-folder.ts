// A folder of results and the page that they give, for tests of the performance page.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildLibrary } from '../support/library';
import { DATE } from './made-up-results';

/** A temporary folder; its files are results. */
export class PageFolder {
  readonly path = mkdtempSync(path.join(tmpdir(), 'ba-sam-page-'));

  private constructor(
    private readonly results: typeof import('../../bench/page/results.mts'),
    private readonly document: typeof import('../../bench/page/document.mts'),
  ) {}

  static async create(): Promise<PageFolder> {
    buildLibrary();
    return new PageFolder(
      await import('../../bench/page/results.mts'),
      await import('../../bench/page/document.mts'),
    );
  }

  save(name: string, content: unknown): void {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    writeFileSync(path.join(this.path, name), text);
  }

  read() {
    return this.results.readResults(this.path);
  }

  /** Names → contents of what the folder's results give. */
  files(): Map<string, string> {
    return this.document.pageFiles(this.read()!);
  }

  /** The page with these results as well, by their names without date. */
  pageOf(results: Readonly<Record<string, unknown>>): { page: string; charts: string[] } {
    for (const [name, content] of Object.entries(results)) this.save(`${DATE}-bench-${name}.json`, content);
    const files = this.files();
    return { page: files.get('performance.md')!, charts: [...files.keys()].slice(1) };
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }
}
