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
const peerName = { device: text.optional(), peer: text, dtype: text, model: text, size: count };

/** A row: what names it, and either its numbers or why there are none. */
function row<N extends z.ZodRawShape, M extends z.ZodRawShape>(name: N, numbers: M) {
  const failed = z.object({ ...name, failed: text });
  const measured = z.object({ ...name, device: text, ...numbers, failed: z.undefined().optional() });
  return choose<typeof failed | typeof measured>((value) => ('failed' in value ? failed : measured));
}

/** A schema chosen by a look at the value, so that errors name the fields of the one that was meant. */
function choose<T extends z.ZodType>(schemaOf: (value: Readonly<Record<string, unknown>>) => T) {
  return z.unknown().transform((value, context): z.output<T> => {
    const found = z.looseObject({}).safeParse(value);
    const result = found.success ? schemaOf(found.data).safeParse(value) : found;
    if (result.success) return result.data;
    for (const { path, message } of result.error.issues) {
      context.issues.push({ code: 'custom', path, message, input: value });
    }
    return z.NEVER;
  });
}

const versions = z.record(z.string(), z.string()).optional();
const comparedPeer = z.object({
  ...peerName,
  versions,
  status: z.literal('ok'),
  ...timing,
  runs_ms: z.array(positive).min(1),
  load_s: z.number().min(0),
  first_ms: positive,
  peak_rss_mb: positive,
  difference: z.number().min(0),
  reference: text.optional(),
});
const missingPeer = z.object({
  ...peerName,
  versions,
  status: z.enum(['skipped', 'out of memory', 'timed out', 'disagrees', 'failed']),
  reason: text,
});
const peerRow = choose<typeof comparedPeer | typeof missingPeer>(({ status }) =>
  status === 'ok' ? comparedPeer : missingPeer,
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

const cpuMachine = z.object({
  cpu: text,
  cores: count,
  memory_gb: positive,
  threads: count.optional(),
  isa: text.optional(),
  oneDNN: text.optional(),
  gpu: text.optional(),
  driver: text.optional(),
  runtime: text.optional(),
  cublasLt: text.optional(),
});
const gpuMachine = cpuMachine.extend({ gpu: text });

/** How peers took turns. */
const turns = {
  rounds: count.optional(),
  runs_per_turn: count.optional(),
  limits: z.object({ memory_gb: positive, timeout_s: positive }).optional(),
  complete: z.boolean().optional(),
};

export type Benchmark = keyof typeof ROWS;

/** The file of a benchmark; `gpu`: of a machine with one. */
export function resultSchema<B extends Benchmark>(benchmark: B, gpu: boolean) {
  return z.object({
    benchmark: z.literal(benchmark),
    date: z.iso.date(),
    version: text,
    commit: text,
    node: text,
    quick: z.never({ error: 'Expected measured results but received those of a quick try' }).optional(),
    machine: gpu ? gpuMachine : cpuMachine,
    rows: z.array(ROWS[benchmark]).min(1),
    ...turns,
  });
}

const ok = z.boolean().optional();
const gpuTiming = z.object({ ms: positive, min_ms: positive, max_ms: positive, tflops: positive, ok });
const notTimed = z.object({ ms: z.undefined().optional(), failed: z.string().optional(), ok });
const timed = choose<typeof gpuTiming | typeof notTimed>((value) => ('ms' in value ? gpuTiming : notTimed));

/** Attention beside PyTorch's, as bench/peers/attention.py writes it. */
const attentionBeside = z.object({
  torch: text,
  gemm_tflops: z.array(positive).min(1),
  cases: z.array(
    z.object({
      case: text,
      ours: timed,
      peers: z.record(z.string(), timed),
      ratios: z.record(z.string(), z.object({ peer: text, ratio: positive })).default({}),
    }),
  ),
});

export const gpuCheckSchema = z.object({
  benchmark: z.literal('gpu-check'),
  date: z.iso.date(),
  commit: text,
  gpu: text,
  driver: text.optional(),
  versions: z.record(z.string(), z.unknown()).optional(),
  attention: attentionBeside.optional(),
  encoder: resultSchema('encoder', true).optional(),
  encoder_vit_h: resultSchema('encoder', true).optional(),
});

/** What a result file holds, and the file's name. */
export type PageResult<B extends Benchmark> = z.output<ReturnType<typeof resultSchema<B>>> & {
  readonly file: string;
};
export type Row<B extends Benchmark> = PageResult<B>['rows'][number];
/** Rows with numbers. */
export type MeasuredRow<B extends 'attention' | 'encoder' | 'decoder'> = Exclude<Row<B>, { failed: string }>;
export type ComparedPeer = z.output<typeof comparedPeer>;
export type AttentionBeside = z.output<typeof attentionBeside>;
export type GpuTiming = z.output<typeof gpuTiming>;
/** A run of scripts/gpu-check.sh without its encoders. */
export type GpuCheck = Omit<z.output<typeof gpuCheckSchema>, 'encoder' | 'encoder_vit_h'> & {
  readonly file: string;
};
