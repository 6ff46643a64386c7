// Benchmark results as the performance page reads them: the newest file of every kind, checked field by field.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { z } from 'zod';
import { type Benchmark, type GpuCheck, gpuCheckSchema, type PageResult, resultSchema } from './schemas.mts';

/** Results of one machine; kinds without a file are absent. */
export type Results = { readonly [B in Benchmark]?: PageResult<B> };
/** The same of a GPU, and what a run of scripts/gpu-check.sh measured there. */
export interface GpuResults extends Results {
  readonly check?: GpuCheck;
}
export interface PageResults {
  readonly cpu: Results;
  readonly gpus: ReadonlyMap<string, GpuResults>;
}

const FILE_NAME = /^(\d{4}-\d{2}-\d{2})-bench-(attention|encoder|decoder|peers)(?:-([a-z0-9-]+))?\.json$/;
const BENCHMARKS: readonly Benchmark[] = ['attention', 'encoder', 'decoder', 'peers'];
const OTHER_NAME = /^\d{4}-\d{2}-\d{2}-([a-z0-9-]+)\.json$/;

/**
 * Reads the newest result of every kind.
 *
 * @param folder of files `<YYYY-MM-DD>-bench-<benchmark>[-<gpu>].json`, and of `<YYYY-MM-DD>-<gpu>.json` that
 *   scripts/gpu-check.sh wrote; others are left alone
 * @returns undefined when there is nothing
 * @throws Error that names the file and the field
 */
export function readResults(folder: string): PageResults | undefined {
  const newest = new Map<string, { name: string; benchmark: Benchmark; gpu: string | undefined }>();
  const checks = new Map<string, string>();
  for (const name of readdirSync(folder).sort()) {
    const [, , kind, gpu] = FILE_NAME.exec(name) ?? [];
    const benchmark = BENCHMARKS.find((one) => one === kind);
    const [, other] = OTHER_NAME.exec(name) ?? [];
    if (benchmark) newest.set(`${benchmark} ${gpu ?? ''}`, { name, benchmark, gpu });
    else if (other && readJson(path.join(folder, name))?.benchmark === 'gpu-check') checks.set(other, name);
  }
  if (newest.size + checks.size === 0) return undefined;
  let cpu: Results = {};
  const gpus = new Map<string, GpuResults>();
  for (const [gpu, name] of checks) gpus.set(gpu, readCheck(path.join(folder, name)));
  for (const { name, benchmark, gpu } of newest.values()) {
    const result = readResult(path.join(folder, name), benchmark, gpu);
    if (gpu === undefined) cpu = { ...cpu, [benchmark]: result };
    else gpus.set(gpu, { ...gpus.get(gpu), [benchmark]: result });
  }
  return { cpu, gpus };
}

function readResult<B extends Benchmark>(file: string, benchmark: B, gpu: string | undefined): PageResult<B> {
  const result = parse(file, resultSchema(benchmark, gpu !== undefined));
  const wanted = gpu === undefined ? /^cpu$/ : /^cuda/;
  const stray = result.rows.findIndex(({ device }) => device !== undefined && !wanted.test(device));
  if (stray >= 0) {
    const device = result.rows[stray].device;
    const place = gpu === undefined ? 'the CPU; a GPU has its name in the name of the file' : gpu;
    throw new Error(`${file}: rows[${stray}].device: Expected a row of ${place}, but received ${device}`);
  }
  return { ...result, file: path.basename(file) };
}

/** What a run of scripts/gpu-check.sh measured. */
function readCheck(file: string): GpuResults {
  const name = path.basename(file);
  const { encoder, encoder_vit_h: vitH, ...check } = parse(file, gpuCheckSchema);
  const encoders = [encoder, vitH].filter((one) => one !== undefined);
  return {
    check: { ...check, file: name },
    ...(encoders.length > 0 && {
      encoder: { ...encoders[0], rows: encoders.flatMap(({ rows }) => rows), file: name },
    }),
  };
}

function parse<T extends z.ZodType>(file: string, schema: T): z.output<T> {
  const parsed = schema.safeParse(readJson(file));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`${file}: ${fieldName(issue.path) || 'the whole file'}: ${issue.message}`);
}

function readJson(file: string) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`Cannot read ${file}: ${error instanceof Error ? error.message : error}`);
  }
}

const fieldName = (parts: readonly PropertyKey[]) =>
  parts
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .slice(1);
