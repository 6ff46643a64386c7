// The compiled library, for tests that need it as its users do: in processes of its own.
import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.join(__dirname, '..', '..');
/** Written by every build; the file's time says how old the build is. */
const STAMP = path.join(ROOT, 'dist', 'index.js');

/** Compiles lib/ into dist/ when dist/ is missing or older than any source file. */
export function buildLibrary(): void {
  const built = statSync(STAMP, { throwIfNoEntry: false })?.mtimeMs ?? Number.NEGATIVE_INFINITY;
  const lib = path.join(ROOT, 'lib');
  // Directories count as well: removing a file changes only theirs.
  const sources = ['.', ...(readdirSync(lib, { recursive: true }) as string[])];
  if (sources.every((name) => statSync(path.join(lib, name)).mtimeMs < built)) return;
  const began = new Date();
  const run = (...args: string[]) => {
    try {
      execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      throw new Error(`${args.join(' ')} failed:\n${(error as { stdout?: string }).stdout}`);
    }
  };
  // As npm run build:ts does: what is left of files that are gone would still be required, and packed.
  rmSync(path.dirname(STAMP), { recursive: true, force: true });
  run(path.join('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json');
  run(path.join('scripts', 'write-esm-entry.mjs'));
  // The compiler may leave a file alone that did not change. A source saved meanwhile counts as newer.
  utimesSync(STAMP, began, began);
}
