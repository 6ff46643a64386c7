// `ba-sam bench …`: tables on stdout, progress on stderr, results as JSON.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  attentionCases,
  type BenchmarkCase,
  decoderCases,
  describeCase,
  encoderCases,
  eventLoopCases,
} from '../bench/cases';
import { type BenchmarkResult, resultName, resultOf } from '../bench/result';
import { type BenchmarkRow, measureRow } from '../bench/run';
import { benchmarkTable, opTable } from '../bench/table';
import type { Repeats } from '../bench/timing';
import { deviceName, type ResolvedDevice, resolveCompute, resolveDevice } from '../device';
import { visible } from '../errors';
import { replaceFile } from '../files/outputs';
import { native } from '../native';
import { BENCHMARKS, type Benchmark, benchShape, caseOption, caseOwners, caseShapes } from '../options/bench';
import type { ComputeDType } from '../options/compute';
import { spellingOf } from '../options/option';
import { badText } from '../options/text';
import { UsageError, visibleLines } from './errors';
import { flagName, optionsOf, type Texts } from './flags';
import { checkOutputs, JSON_FILE } from './outputs';

const REPEATS: Repeats = { minRuns: 5, maxRuns: 100, seconds: 1, maxSeconds: 60 };
const QUICK_REPEATS: Repeats = { minRuns: 2, maxRuns: 20, seconds: 0.2, maxSeconds: 60 };

/** Options of single benchmarks that make sense without a name as well. */
const SHARED: readonly string[] = ['dtypes', 'profile'];

/**
 * Runs the command. A row that fails is reported in its table and makes the exit status 1; the others go on.
 *
 * @param texts what commander hands over
 * @throws UsageError, SamError before any row is measured; the signal's reason
 */
export async function runBench(name: string | undefined, texts: Texts, signal: AbortSignal): Promise<void> {
  const only = name === undefined ? undefined : benchmarkNamed(name);
  checkOwners(only, texts);
  const options = optionsOf(benchShape, texts);
  const device = resolveDevice(options.device ?? 'auto');
  const benchmarks = only === undefined ? BENCHMARKS : [only];
  const { quick = false, json, results, runs } = options;
  const conditions = {
    device,
    repeats: runs !== undefined ? exactly(runs) : quick ? QUICK_REPEATS : REPEATS,
    gemmSide: options.gemm,
  };
  const cases = new Map(benchmarks.map((one) => [one, casesOf(one, device, quick, texts)]));
  await checkFiles(only, device, json, quick ? undefined : results);

  for (const [benchmark, list] of cases) {
    const rows: BenchmarkRow[] = [];
    for (const [index, one] of list.entries()) {
      const row = await measureShown(
        `${benchmark} ${index + 1} of ${list.length}: ${describeCase(one)}`,
        () => measureRow({ case: one, conditions, device: deviceName(device) }, signal),
      );
      if (row.failed !== undefined) process.exitCode = 1;
      rows.push(row);
    }
    process.stdout.write(visibleLines(`${benchmark}\n${benchmarkTable(benchmark, rows)}\n`));
    if (texts.profile) process.stdout.write(`${opTable(rows, (index) => describeCase(list[index]))}\n`);
    const result = resultOf(benchmark, device, quick, rows);
    if (json !== undefined) await writeResult(json, result);
    if (results !== undefined && !quick) await writeResult(path.join(results, resultName(result)), result);
  }
  if (results !== undefined && quick) {
    process.stderr.write(`Nothing was written to ${visible(results)}: quick rows are for a try\n`);
  }
}

function benchmarkNamed(name: string): Benchmark {
  const found = BENCHMARKS.find((one) => one === name);
  if (!found) throw badText('BENCHMARK', `one of ${BENCHMARKS.join(', ')}`, name);
  return found;
}

/** An option of one benchmark must not be given to another. */
function checkOwners(only: Benchmark | undefined, texts: Texts): void {
  for (const [name, owners] of caseOwners()) {
    if (texts[name] === undefined) continue;
    if (only === undefined ? SHARED.includes(name) : owners.includes(only)) continue;
    throw new UsageError(
      `Expected ${owners.join(' or ')} together with ${flagName(spellingOf(caseOption(name, owners))!)} but received ` +
        `${only ?? 'no benchmark'}`,
    );
  }
  if (only === undefined && texts.json !== undefined) {
    throw new UsageError(
      `Expected ${BENCHMARKS.join(', ')} together with --json but received no benchmark; --results takes all`,
    );
  }
}

function exactly(runs: number): Repeats {
  return { minRuns: runs, maxRuns: runs, seconds: 0, maxSeconds: Number.MAX_SAFE_INTEGER };
}

function casesOf(
  benchmark: Benchmark,
  device: ResolvedDevice,
  quick: boolean,
  texts: Texts,
): BenchmarkCase[] {
  if (benchmark === 'decoder') {
    return decoderCases(optionsOf(caseShapes.decoder, texts)).map((of) => ({ benchmark, of }));
  }
  if (benchmark === 'event-loop') {
    return eventLoopCases(optionsOf(caseShapes['event-loop'], texts)).map((of) => ({ benchmark, of }));
  }
  if (benchmark === 'encoder') {
    const asked = optionsOf(caseShapes.encoder, texts);
    const dtypes = dtypesOn(device, quick, asked.dtypes, asked.f8);
    return encoderCases({ ...asked, dtypes, quick }).map((of) => ({ benchmark, of }));
  }
  const asked = optionsOf(caseShapes.attention, texts);
  const layers = attentionCases({ ...asked, dtypes: dtypesOn(device, quick, asked.dtypes), quick });
  if (layers.length === 0) {
    throw new UsageError(
      `Expected none, rel or global windows for --biases and --windows but received ${texts.biases} and ` +
        `${texts.windows}: distance penalties exist in global attention only`,
    );
  }
  return layers.map((of) => ({ benchmark, of }));
}

/** Those asked for, each of which the device must have; or all that it has. */
function dtypesOn(
  device: ResolvedDevice,
  quick: boolean,
  asked: readonly ComputeDType[] | undefined,
  f8 = false,
): readonly ComputeDType[] {
  for (const dtype of asked ?? ['f32' as const]) resolveCompute({ device: deviceName(device), dtype, f8 });
  if (asked) return asked;
  if (device.kind === 'cuda') return quick ? ['bf16'] : ['f32', 'bf16', 'f16'];
  return native().info().bf16UnavailableReason ? ['f32'] : ['f32', 'bf16'];
}

async function checkFiles(
  only: Benchmark | undefined,
  device: ResolvedDevice,
  json: string | undefined,
  results: string | undefined,
): Promise<void> {
  const files = json === undefined ? [] : [{ option: '--json', path: json }];
  if (results !== undefined) {
    for (const benchmark of only ? [only] : BENCHMARKS) {
      const name = resultName(resultOf(benchmark, device, false, []));
      files.push({ option: '--results', path: path.join(results, name) });
    }
  }
  await checkOutputs(
    files.map((file) => ({ ...file, extensions: JSON_FILE })),
    [],
  );
}

async function writeResult(file: string, result: BenchmarkResult): Promise<void> {
  await replaceFile(file, (temporary) => writeFile(temporary, `${JSON.stringify(result, null, 1)}\n`));
  process.stderr.write(`Wrote ${visible(file)}\n`);
}

/** One line per row on stderr: what it is while it is measured, then what came of it. */
async function measureShown(label: string, measure: () => Promise<BenchmarkRow>): Promise<BenchmarkRow> {
  process.stderr.write(`${label} … `);
  try {
    const row = await measure();
    process.stderr.write(
      row.failed === undefined
        ? `${row.ms} ms, ${row.gflops === undefined ? `delays of ${row.delay_max_ms} ms at most` : `${row.gflops} GFLOP/s`}\n`
        : `failed: ${visible(row.failed)}\n`,
    );
    return row;
  } catch (error) {
    process.stderr.write('\n');
    throw error;
  }
}
