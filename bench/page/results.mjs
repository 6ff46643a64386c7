// Benchmark results as the performance page reads them: the newest file of every kind, checked field by field.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';

const FILE_NAME = /^(\d{4}-\d{2}-\d{2})-bench-(attention|encoder|decoder|peers)(?:-([a-z0-9-]+))?\.json$/;

const positive = z.number().positive();
const count = z.int().positive();
const text = z.string().min(1);
const grid = z.tuple([count, count]);
const gemm = z.tuple([positive, positive]);
const opsMs = z.record(z.string(), z.number().min(0));
const timing = { ms: positive, min_ms: positive, max_ms: positive, runs: count.optional() };
const rate = { gflop: positive, gflops: positive, gemm_gflops: gemm, peak_rss_mb: positive };
const onDevice = { peak_device_mb: positive.optional() };

const attentionName = {
  device: text.optional(),
  dtype: text,
  grid,
  tokens: count,
  heads: count,
  headDim: count,
  window: count.nullable(),
  biases: text,
};
const encoderName = {
  device: text.optional(),
  model: text,
  size: count,
  dtype: text,
  biases: text.default('plain'),
};
const decoderName = { device: text.optional(), dtype: text, grid, prompt: text, prompts: count };
const peerName = { peer: text, dtype: text, model: text, size: count };

/** A row: what names it, and either its numbers or why there are none. */
function row(name, numbers) {
  const failed = z.looseObject({ ...name, failed: text });
  const measured = z.looseObject({ ...name, device: text, ...numbers });
  return choose((value) => ('failed' in value ? failed : measured));
}

/** A schema chosen by a look at the value, so that errors name the fields of the one that was meant. */
function choose(schemaOf) {
  return z.unknown().transform((value, context) => {
    const found = z.looseObject({}).safeParse(value);
    const result = found.success ? schemaOf(found.data).safeParse(value) : found;
    if (result.success) return result.data;
    for (const issue of result.error.issues) context.issues.push({ ...issue, input: value });
    return z.NEVER;
  });
}

const peerRow = choose(({ status }) =>
  z.looseObject({
    ...peerName,
    versions: z.record(z.string(), z.string()).optional(),
    ...(status === 'ok'
      ? {
          status: z.literal('ok'),
          ...timing,
          runs_ms: z.array(positive).min(1),
          load_s: z.number().min(0),
          first_ms: positive,
          peak_rss_mb: positive,
          difference: z.number().min(0),
        }
      : {
          status: z.enum(['skipped', 'out of memory', 'timed out', 'disagrees', 'failed']),
          reason: text,
        }),
  }),
);

const ROWS = {
  attention: row(attentionName, {
    ...timing,
    ...rate,
    ...onDevice,
    share: positive,
    against_none: positive.optional(),
  }),
  encoder: row(encoderName, {
    ...timing,
    ...rate,
    ...onDevice,
    efficiency: positive,
    ops_ms: opsMs,
    device_ms: positive.optional(),
    transfer_ms: positive.optional(),
  }),
  decoder: row(decoderName, {
    ...timing,
    ...rate,
    ...onDevice,
    ms_per_prompt: positive,
    share: positive,
    ops_ms: opsMs,
  }),
  peers: peerRow,
};

const cpuMachine = z.looseObject({
  cpu: text,
  cores: count,
  memory_gb: positive,
  threads: count.optional(),
  isa: text.optional(),
  oneDNN: text.optional(),
});
const gpuMachine = cpuMachine.extend({
  gpu: text,
  driver: text.optional(),
  runtime: text.optional(),
  cublasLt: text.optional(),
});

function resultSchema(benchmark, gpu) {
  return z.looseObject({
    benchmark: z.literal(benchmark),
    date: z.iso.date(),
    version: text,
    commit: text,
    node: text,
    quick: z.never({ error: 'Expected measured results but received those of a quick try' }).optional(),
    machine: gpu ? gpuMachine : cpuMachine,
    rows: z.array(ROWS[benchmark]).min(1),
  });
}

/** Whether a folder holds any result of a benchmark. */
export function hasResults(folder) {
  return readdirSync(folder).some((name) => FILE_NAME.test(name));
}

/**
 * Reads the newest result of every kind.
 *
 * @param folder of files `<YYYY-MM-DD>-bench-<benchmark>[-<gpu>].json`; others are left alone
 * @returns `{ cpu: { attention, encoder, decoder, peers }, gpus: Map(gpu → the same) }`, kinds without a file undefined;
 *   every result carries its `file`
 * @throws Error that names the file and the field, or says that there is nothing
 */
export function readResults(folder) {
  const newest = new Map();
  for (const name of readdirSync(folder).sort()) {
    const [, , benchmark, gpu] = FILE_NAME.exec(name) ?? [];
    if (benchmark) newest.set(`${benchmark} ${gpu ?? ''}`, { name, benchmark, gpu });
  }
  if (newest.size === 0) {
    throw new Error(`Expected <date>-bench-<benchmark>.json in ${folder} but found none`);
  }
  const results = { cpu: {}, gpus: new Map() };
  for (const { name, benchmark, gpu } of newest.values()) {
    const result = readResult(path.join(folder, name), benchmark, gpu);
    if (gpu === undefined) results.cpu[benchmark] = result;
    else results.gpus.set(gpu, { ...results.gpus.get(gpu), [benchmark]: result });
  }
  return results;
}

function readResult(file, benchmark, gpu) {
  let json;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`Cannot read ${file}: ${error.message}`);
  }
  const parsed = resultSchema(benchmark, gpu !== undefined).safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(`${file}: ${fieldName(issue.path) || 'the whole file'}: ${issue.message}`);
  }
  const result = parsed.data;
  const wanted = gpu === undefined ? /^cpu$/ : /^cuda/;
  const stray = result.rows.findIndex(({ device }) => device !== undefined && !wanted.test(device));
  if (stray >= 0) {
    const device = result.rows[stray].device;
    const place = gpu === undefined ? 'the CPU; a GPU has its name in the name of the file' : gpu;
    throw new Error(`${file}: rows[${stray}].device: Expected a row of ${place}, but received ${device}`);
  }
  return { ...result, file: path.basename(file) };
}

const fieldName = (parts) =>
  parts
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .slice(1);
