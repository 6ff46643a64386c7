// What result files look like: those of the benchmarks, and that of scripts/gpu-check.sh.
import { z } from 'zod';

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
          reference: text.optional(),
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

/** How peers took turns. */
const turns = {
  rounds: count.optional(),
  runs_per_turn: count.optional(),
  limits: z.looseObject({ memory_gb: positive, timeout_s: positive }).optional(),
  complete: z.boolean().optional(),
};

/** The file of a benchmark; `gpu`: of a machine with one. */
export function resultSchema(benchmark, gpu) {
  return z.looseObject({
    benchmark: z.literal(benchmark),
    date: z.iso.date(),
    version: text,
    commit: text,
    node: text,
    quick: z.never({ error: 'Expected measured results but received those of a quick try' }).optional(),
    machine: gpu ? gpuMachine : cpuMachine,
    rows: z.array(ROWS[benchmark]).min(1),
    ...(benchmark === 'peers' && turns),
  });
}

const gpuTiming = z.looseObject({ ms: positive, min_ms: positive, max_ms: positive, tflops: positive });
const timed = choose((value) => ('ms' in value ? gpuTiming : z.looseObject({})));

/** Attention beside PyTorch's, as bench/peers/attention.py writes it. */
const attentionBeside = z.looseObject({
  torch: text,
  gemm_tflops: z.array(positive).min(1),
  cases: z.array(
    z.looseObject({
      case: text,
      ours: timed,
      peers: z.record(z.string(), timed),
      ratios: z.record(z.string(), z.looseObject({ peer: text, ratio: positive })).default({}),
    }),
  ),
});

export const gpuCheckSchema = z.looseObject({
  benchmark: z.literal('gpu-check'),
  date: z.iso.date(),
  commit: text,
  gpu: text,
  driver: text.optional(),
  attention: attentionBeside.optional(),
  encoder: resultSchema('encoder', true).optional(),
  encoder_vit_h: resultSchema('encoder', true).optional(),
});
