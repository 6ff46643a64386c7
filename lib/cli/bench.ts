// `ba-sam bench …`: tables on stdout, progress on stderr, results as JSON.
import path from 'node:path';
import {
  ATTENTION_BIASES,
  attentionCases,
  BENCHMARKS,
  type Benchmark,
  type BenchmarkCase,
  type CaseOptions,
  decoderCases,
  describeCase,
  ENCODER_BIASES,
  encoderCases,
  type Grid,
  PROMPTS,
} from '../bench/cases';
import { MODEL_NAMES } from '../bench/models';
import { type BenchmarkResult, resultName, resultOf } from '../bench/result';
import { type BenchmarkRow, measureRow } from '../bench/run';
import { benchmarkTable, opTable } from '../bench/table';
import type { Repeats } from '../bench/timing';
import { type Device, deviceName, type ResolvedDevice, resolveCompute, resolveDevice } from '../device';
import { MAX_LONGEST_SIDE } from '../image/resize';
import type { ComputeDType } from '../model/weights';
import { native } from '../native';
import type { BenchCommandOptions } from './bench-options';
import { badValue, singleLine, UsageError } from './errors';
import { choice, DTYPES, device as deviceText, given, integer, list } from './options';
import { checkOutputs, JSON_FILE, Outputs, writeText } from './outputs';

const PATCH_PX = 16;
const MAX_SIDE_TOKENS = 1024;
const REPEATS: Repeats = { least: 5, most: 100, seconds: 1, patience: 60 };
const QUICK_REPEATS: Repeats = { least: 2, most: 20, seconds: 0.2, patience: 60 };

/** Which benchmarks an option belongs to, where it does not belong to all. */
const OWNERS: Partial<Record<keyof BenchCommandOptions, readonly Benchmark[]>> = {
  grids: ['attention', 'decoder'],
  heads: ['attention'],
  headDims: ['attention'],
  windows: ['attention'],
  biases: ['attention', 'encoder'],
  dtypes: ['attention', 'encoder'],
  models: ['encoder'],
  sizes: ['encoder'],
  f8: ['encoder'],
  prompts: ['decoder'],
  batches: ['decoder'],
  profile: ['encoder', 'decoder'],
};
/** Those that make sense without a name as well. */
const SHARED: readonly string[] = ['dtypes', 'profile'];

/**
 * Runs the command. A row that fails is reported in its table and makes the exit status 1; the others go on.
 *
 * @throws UsageError, SamError before any row is measured; the signal's reason
 */
export async function runBench(
  name: string | undefined,
  options: BenchCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  const only = given(name, choice('BENCHMARK', BENCHMARKS));
  checkOwners(only, options);
  const device = resolveDevice(deviceText(options.device) as Device);
  const benchmarks = only === undefined ? BENCHMARKS : [only];
  const quick = options.quick === true;
  const repeats = given(options.runs, (text) => exactly(integer('--runs', 10_000)(text)));
  const conditions = {
    device,
    repeats: repeats ?? (quick ? QUICK_REPEATS : REPEATS),
    gemmSide: given(options.gemm, integer('--gemm', 32_768)),
  };
  const cases = new Map(benchmarks.map((one) => [one, casesOf(one, device, options)]));
  const { json, results } = options;
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
    process.stdout.write(`${benchmark}\n${benchmarkTable(benchmark, rows)}\n`);
    if (options.profile) process.stdout.write(`${opTable(rows, (index) => describeCase(list[index]))}\n`);
    const result = resultOf(benchmark, device, quick, rows);
    if (json !== undefined) await writeResult(json, result);
    if (results !== undefined && !quick) await writeResult(path.join(results, resultName(result)), result);
  }
  if (results !== undefined && quick) {
    process.stderr.write(`Nothing was written to ${singleLine(results)}: quick rows are for a try\n`);
  }
}

function checkOwners(only: Benchmark | undefined, options: BenchCommandOptions): void {
  for (const [key, owners] of Object.entries(OWNERS)) {
    if (options[key as keyof BenchCommandOptions] === undefined) continue;
    if (only === undefined ? SHARED.includes(key) : owners.includes(only)) continue;
    const option = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    throw new UsageError(
      `Expected ${owners.join(' or ')} together with ${option} but received ${only ?? 'no benchmark'}`,
    );
  }
  if (only === undefined && options.json !== undefined) {
    throw new UsageError(
      `Expected ${BENCHMARKS.join(', ')} together with --json but received no benchmark; --results takes all three`,
    );
  }
}

function exactly(runs: number): Repeats {
  return { least: runs, most: runs, seconds: 0, patience: Number.MAX_SAFE_INTEGER };
}

function casesOf(
  benchmark: Benchmark,
  device: ResolvedDevice,
  options: BenchCommandOptions,
): BenchmarkCase[] {
  const side = integer('--grids', MAX_SIDE_TOKENS);
  const biases = options.biases;
  const asked: CaseOptions = {
    dtypes: dtypesOf(device, options),
    quick: options.quick === true,
    grids: given(
      options.grids,
      list('--grids', (text): Grid => {
        const [, h, w] = /^(\d+)x(\d+)$/.exec(text) ?? [];
        if (h === undefined) throw badValue('--grids', 'HEIGHTxWIDTH in tokens', text);
        return [side(h), side(w)];
      }),
    ),
    heads: given(options.heads, list('--heads', integer('--heads', 64))),
    headDims: given(options.headDims, list('--head-dims', integer('--head-dims', 256))),
    windows: given(
      options.windows,
      list('--windows', (text) => (text === 'global' ? null : window(text))),
    ),
    attentionBiases:
      benchmark === 'attention'
        ? given(biases, list('--biases', choice('--biases', ATTENTION_BIASES)))
        : undefined,
    encoderBiases:
      benchmark === 'encoder'
        ? given(biases, list('--biases', choice('--biases', ENCODER_BIASES)))
        : undefined,
    models: given(options.models, list('--models', choice('--models', MODEL_NAMES))),
    sizes: given(options.sizes, list('--sizes', size)),
    f8: options.f8,
    prompts: given(options.prompts, list('--prompts', choice('--prompts', PROMPTS))),
    batches: given(options.batches, list('--batches', integer('--batches', 1024))),
  };
  if (benchmark === 'encoder') return encoderCases(asked).map((of) => ({ benchmark, of }));
  if (benchmark === 'decoder') return decoderCases(asked).map((of) => ({ benchmark, of }));
  const layers = attentionCases(asked);
  if (layers.length === 0) {
    throw new UsageError(
      `Expected none, rel or global windows for --biases and --windows but received ${biases} and ` +
        `${options.windows}: distance penalties exist in global attention only`,
    );
  }
  return layers.map((of) => ({ benchmark, of }));
}

function window(text: string): number {
  const value = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (!(value >= 1 && value <= MAX_SIDE_TOKENS)) {
    throw badValue('--windows', `global or integer between 1 and ${MAX_SIDE_TOKENS}`, text);
  }
  return value;
}

function size(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (!(value >= PATCH_PX && value <= MAX_LONGEST_SIDE && value % PATCH_PX === 0)) {
    throw badValue('--sizes', `multiple of ${PATCH_PX} between ${PATCH_PX} and ${MAX_LONGEST_SIDE}`, text);
  }
  return value;
}

/** Those asked for, each of which the device must have; or all that it has. */
function dtypesOf(
  device: ResolvedDevice,
  { dtypes, f8, quick }: BenchCommandOptions,
): readonly ComputeDType[] {
  const asked = given(dtypes, list('--dtypes', choice('--dtypes', DTYPES as ComputeDType[])));
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
  const outputs = new Outputs();
  try {
    await outputs.write(file, (temporary) => writeText(temporary, `${JSON.stringify(result, null, 1)}\n`));
    await outputs.commit();
  } finally {
    await outputs.discard();
  }
  process.stderr.write(`Wrote ${singleLine(file)}\n`);
}

/** One line per row on stderr: what it is while it is measured, then what came of it. */
async function measureShown(label: string, measure: () => Promise<BenchmarkRow>): Promise<BenchmarkRow> {
  process.stderr.write(`${label} … `);
  try {
    const row = await measure();
    process.stderr.write(
      row.failed === undefined
        ? `${row.ms} ms, ${row.gflops} GFLOP/s\n`
        : `failed: ${singleLine(row.failed)}\n`,
    );
    return row;
  } catch (error) {
    process.stderr.write('\n');
    throw error;
  }
}
