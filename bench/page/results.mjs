// Benchmark results as the performance page reads them: the newest file of every kind, checked field by field.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { gpuCheckSchema, resultSchema } from './schemas.mjs';

const FILE_NAME = /^(\d{4}-\d{2}-\d{2})-bench-(attention|encoder|decoder|peers)(?:-([a-z0-9-]+))?\.json$/;
const OTHER_NAME = /^\d{4}-\d{2}-\d{2}-([a-z0-9-]+)\.json$/;

/**
 * Reads the newest result of every kind.
 *
 * @param folder of files `<YYYY-MM-DD>-bench-<benchmark>[-<gpu>].json`, and of `<YYYY-MM-DD>-<gpu>.json` that
 *   scripts/gpu-check.sh wrote; others are left alone
 * @returns `{ cpu: { attention, encoder, decoder, peers }, gpus: Map(gpu → the same, and check) }`, kinds without a file
 *   undefined; every result carries its `file`. Undefined when there is nothing
 * @throws Error that names the file and the field
 */
export function readResults(folder) {
  const newest = new Map();
  const checks = new Map();
  for (const name of readdirSync(folder).sort()) {
    const [, , benchmark, gpu] = FILE_NAME.exec(name) ?? [];
    const [, other] = OTHER_NAME.exec(name) ?? [];
    if (benchmark) newest.set(`${benchmark} ${gpu ?? ''}`, { name, benchmark, gpu });
    else if (other && readJson(path.join(folder, name))?.benchmark === 'gpu-check') checks.set(other, name);
  }
  if (newest.size + checks.size === 0) return undefined;
  const results = { cpu: {}, gpus: new Map() };
  for (const [gpu, name] of checks) results.gpus.set(gpu, readCheck(path.join(folder, name)));
  for (const { name, benchmark, gpu } of newest.values()) {
    const result = readResult(path.join(folder, name), benchmark, gpu);
    if (gpu === undefined) results.cpu[benchmark] = result;
    else results.gpus.set(gpu, { ...results.gpus.get(gpu), [benchmark]: result });
  }
  return results;
}

function readResult(file, benchmark, gpu) {
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
function readCheck(file) {
  const name = path.basename(file);
  const { encoder, encoder_vit_h: vitH, ...check } = parse(file, gpuCheckSchema);
  const encoders = [encoder, vitH].filter(Boolean);
  return {
    check: { ...check, file: name },
    ...(encoders.length > 0 && {
      encoder: { ...encoders[0], rows: encoders.flatMap(({ rows }) => rows), file: name },
    }),
  };
}

function parse(file, schema) {
  const parsed = schema.safeParse(readJson(file));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`${file}: ${fieldName(issue.path) || 'the whole file'}: ${issue.message}`);
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`Cannot read ${file}: ${error.message}`);
  }
}

const fieldName = (parts) =>
  parts
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .slice(1);
