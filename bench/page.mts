// `npm run bench:page`: writes docs/performance.md and its charts from the newest results of the benchmarks, or checks them.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { CHARTS, type Files, PAGE, pageFiles } from './page/document.mts';
import { type PageResults, readResults } from './page/results.mts';
import { RESULTS, ROOT } from './study/library.mts';

const USAGE = `npm run bench:page                   write docs/performance.md and docs/performance/*.svg
npm run bench:page -- --check        fail when they are not what the newest results give
npm run bench:page -- --results DIR  results from another folder than bench/results
npm run bench:page -- --out DIR      into another folder than docs`;

function fail(message: string, status = 1): never {
  console.error(`bench:page: ${message}`);
  process.exit(status);
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

function parseCommandLine() {
  try {
    return parseArgs({
      options: {
        check: { type: 'boolean', default: false },
        results: { type: 'string', default: RESULTS },
        out: { type: 'string', default: path.join(ROOT, 'docs') },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return fail(`${messageOf(error)}\n\n${USAGE}`, 2);
  }
}

/** Charts in the folder that the page does not have, by their names relative to `out`. */
function strayCharts(out: string, files: Files): string[] {
  const folder = path.join(out, CHARTS);
  const found = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.svg')) : [];
  return found.map((name) => `${CHARTS}/${name}`).filter((name) => !files.has(name));
}

function write(out: string, files: Files): void {
  mkdirSync(path.join(out, CHARTS), { recursive: true });
  for (const [name, content] of files) writeFileSync(path.join(out, name), content);
  for (const name of strayCharts(out, files)) rmSync(path.join(out, name));
  console.log(`wrote ${[...files.keys()].map((name) => path.join(out, name)).join(', ')}`);
}

function check(out: string, files: Files, results: PageResults | undefined): void {
  if (!results && existsSync(path.join(out, PAGE))) {
    fail(`${PAGE} in ${out}: there are no results that it is made from`);
  }
  const read = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8') : undefined);
  const stale = [...files].filter(([name, content]) => read(path.join(out, name)) !== content);
  const names = [...stale.map(([name]) => name), ...strayCharts(out, files)];
  if (names.length === 0) return;
  fail(`${names.join(', ')} in ${out}: not what the newest results give; npm run bench:page writes them`);
}

const args = parseCommandLine();
if (args.help) {
  console.log(USAGE);
  process.exit(0);
}
if (!existsSync(args.results)) fail(`Expected a folder for --results but received ${args.results}`, 2);
try {
  const results = readResults(args.results);
  const files = results ? pageFiles(results) : new Map();
  if (args.check) check(args.out, files, results);
  else if (results) write(args.out, files);
  else fail(`Expected <date>-bench-<benchmark>.json in ${args.results} but found none`);
} catch (error) {
  fail(messageOf(error));
}
