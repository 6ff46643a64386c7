// `npm run study`: what BA-SAM's settings do to the bundled model at sizes it was not trained for, on drawn scenes.
// Writes the numbers to bench/results and docs/resolution-study.md with its pictures.
import { parseArgs } from 'node:util';
import { latestResult, ROOT, SEEDS, writeResult } from './study/library.mts';
import type { Search, Study } from './study/types.mts';

const USAGE = `npm run study                 measure, write the numbers and the document
npm run study -- --search     search the mask's settings first, on scenes of their own
npm run study -- --report     write the document again from the newest numbers
npm run study -- --scenes 10  a trial on few scenes: prints a summary, writes nothing`;

function fail(message: string): never {
  console.error(`study: ${message}\n\n${USAGE}`);
  process.exit(2);
}

function parseCommandLine() {
  try {
    return parseArgs({
      options: {
        search: { type: 'boolean', default: false },
        report: { type: 'boolean', default: false },
        scenes: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return fail((error as Error).message);
  }
}

const args = parseCommandLine();
if (args.help) {
  console.log(USAGE);
  process.exit(0);
}
const scenes = args.scenes === undefined ? undefined : Number(args.scenes);
if (scenes !== undefined && !(Number.isInteger(scenes) && scenes >= 5 && scenes <= 100_000)) {
  fail(`Expected integer between 5 and 100000 for --scenes but received ${args.scenes}`);
}

if (args.search) {
  const { search } = await import('./study/search.mts');
  console.log(`wrote ${writeResult('resolution-search', await search())}`);
}
const found = latestResult<Search>('resolution-search');
if (!found) fail('Expected the result of a search in bench/results but found none; use --search');
const { run } = await import('./study/run.mts');
const { summary, writeReport } = await import('./study/report.mts');
if (scenes !== undefined) {
  console.log(summary(await run(found.mask, { scenes, firstSeed: SEEDS.trial })));
} else {
  if (!args.report) console.log(`wrote ${writeResult('resolution-study', await run(found.mask))}`);
  const study = latestResult<Study>('resolution-study');
  if (!study) fail('Expected the result of a study in bench/results but found none; run without --report');
  await writeReport(ROOT, study, found);
  console.log(summary(study));
}
