// Results of benchmarks with invented numbers, easy to calculate with, for tests of the performance page.

export const DATE = '2020-02-02';

const cpu = { cpu: 'Test CPU', cores: 4, memory_gb: 16, threads: 4, isa: 'avx2', oneDNN: '9.9.9' };
const gpu = { ...cpu, gpu: 'Test GPU 3000', driver: '13.1', runtime: '13.0', cublasLt: '13.0.2' };

type Row = Readonly<Record<string, unknown>>;

export function result(benchmark: string, rows: readonly Row[], more: Row = {}) {
  const head = { benchmark, date: DATE, version: '1.2.3', commit: 'abc1234', node: 'v20.1.0' };
  return { ...head, machine: cpu, rows, ...more };
}

export const onGpu = { machine: gpu };

const rate = { gflop: 1000, gflops: 100, gemm_gflops: [120, 130], peak_rss_mb: 500 };

/** A row of a peer that ran: 1000 ms (900 … 1100), 200 MiB. */
export function peer(name: string, more: Row = {}): Row {
  return {
    ...{ peer: name, dtype: 'f32', model: 'vit-b', size: 1024, status: 'ok' },
    ...{ ms: 1000, min_ms: 900, max_ms: 1100, runs_ms: [900, 1000, 1100] },
    ...{ load_s: 0.5, first_ms: 1500, peak_rss_mb: 200, difference: 1.25e-6 },
    ...more,
  };
}

/** A row of the encoder: 10 s, 1000 GFLOP, efficiency 0.8. */
export function encoder(more: Row = {}): Row {
  return {
    ...{ model: 'vit-b', size: 1024, dtype: 'f32', biases: 'plain', device: 'cpu' },
    ...{ ms: 10_000, min_ms: 9900, max_ms: 10_200, runs: 5, ...rate, efficiency: 0.8 },
    ops_ms: { linear: 7000, gridAttention: 2950, cast: 50 },
    ...more,
  };
}

/** A global attention layer without biases: 40 ms. */
export function attention(more: Row = {}): Row {
  return {
    ...{ device: 'cpu', dtype: 'f32', grid: [64, 64], tokens: 4096, heads: 12, headDim: 64, window: null },
    ...{ biases: 'none', ms: 40, min_ms: 39, max_ms: 42, runs: 9, ...rate, share: 0.75 },
    ...more,
  };
}

/** A call with 16 points: 48 ms. */
export function decoder(more: Row = {}): Row {
  return {
    ...{ device: 'cpu', dtype: 'f32', grid: [64, 64], prompt: 'point', prompts: 16 },
    ...{ ms: 48, min_ms: 47, max_ms: 52, runs: 20, ms_per_prompt: 3, ...rate, share: 0.25 },
    ops_ms: { linear: 30, attention: 10 },
    ...more,
  };
}
