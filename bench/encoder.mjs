// Encoder benchmark: `npm run bench:encoder [-- --model vit-b|vit-l|vit-h] [--sizes 1024,2048] [--dtypes f32,bf16] [--runs N]
// [--device cpu|cuda] [--profile] [--json FILE]`. Random weights, batch 1, one process per row, so that peak RSS is that
// row's own.
//
// Efficiency = operations of the encoder / (rate of the library's product in the same process and dtype) / median encode
// time: 1 would be an encoder that spends all its time in perfect products. The product is 4096 × 768 × 3072 on the CPU
// and 8192 × 8192 × 8192 on a GPU, which a small one does not fill.
//
// ms is the sum of all ops on the CPU. On CUDA it is a whole run as a program sees it, a replayed graph between the copies
// to and from the device; device_ms is the sum of all ops, each between two events, and transfer_ms what a run with
// the same copies and next to no work takes.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const require = createRequire(import.meta.url);
const file = fileURLToPath(import.meta.url);
const root = path.dirname(path.dirname(file));

const MODELS = {
  'vit-b': { width: 768, depth: 12, heads: 12, globalBlocks: [2, 5, 8, 11] },
  'vit-l': { width: 1024, depth: 24, heads: 16, globalBlocks: [5, 11, 17, 23] },
  'vit-h': { width: 1280, depth: 32, heads: 16, globalBlocks: [7, 15, 23, 31] },
};

const { values: args } = parseArgs({
  options: {
    model: { type: 'string', default: 'vit-b' },
    sizes: { type: 'string', default: '1024,2048' },
    dtypes: { type: 'string', default: 'f32,bf16' },
    device: { type: 'string', default: 'cpu' },
    gemm: { type: 'string' }, // side of the product, where the usual one takes too long
    runs: { type: 'string', default: '5' },
    biases: { type: 'string', default: 'plain' },
    profile: { type: 'boolean', default: false },
    json: { type: 'string' },
    row: { type: 'boolean', default: false },
  },
});
if (!(args.model in MODELS)) {
  console.error(`Expected one of ${Object.keys(MODELS).join(', ')} for --model but received ${args.model}`);
  process.exit(2);
}

function samConfig(name) {
  const model = MODELS[name];
  return {
    ...model,
    patch: 16,
    headDim: model.width / model.heads,
    mlpDim: 4 * model.width,
    window: 14,
    trainedGrid: 64,
    trainedSide_px: 1024,
    outChannels: 256,
    hasPosEmbed: true,
    hasRelPos: true,
    hasCoefficient: false,
    hasDecoder: false,
    decoder: null,
  };
}

/** Multiply-adds × 2 of the encoder; windows count their real tokens' share of padded windows as computed keys. */
function operations(config, grid) {
  const { width: c, mlpDim, depth, outChannels: out, window, globalBlocks } = config;
  const n = grid * grid;
  const perToken =
    depth * (2 * c * 3 * c + 2 * c * c + 4 * c * mlpDim) + 2 * 768 * c + 2 * c * out + 18 * out * out;
  const global = globalBlocks.length * 4 * n * n * c;
  const windows = (depth - globalBlocks.length) * 4 * n * window * window * c;
  return { linear: n * perToken, global, windows, total: n * perToken + global + windows };
}

function random(count, scale, seed) {
  const out = new Float32Array(count);
  let state = seed | 1;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    out[i] = (state / 2 ** 31) * scale;
  }
  return out;
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

async function measureRow(size, dtype) {
  const { Session } = require(path.join(root, 'dist/graph/session.js'));
  const { Graph } = require(path.join(root, 'dist/graph/graph.js'));
  const ops = require(path.join(root, 'dist/graph/ops.js'));
  const { imageEncoder } = require(path.join(root, 'dist/model/image-encoder.js'));
  const { expectedTensors } = require(path.join(root, 'dist/config.js'));
  const { weightDType } = require(path.join(root, 'dist/model/weights.js'));
  const { resolveSettings } = require(path.join(root, 'dist/ba-sam.js'));
  const config = samConfig(args.model);
  const session = new Session({ device: args.device });
  const onCuda = session.device !== 'cpu';
  for (const [i, { name, shape }] of expectedTensors(config).entries()) {
    const count = shape.reduce((a, b) => a * b, 1);
    const fanIn = shape.length > 1 ? count / shape[0] : 1;
    const scale = name.includes('norm') || /neck\.[13]\.weight/.test(name) ? 1 : Math.sqrt(3 / fanIn) * 0.5;
    await session.setWeight(
      name,
      'f32',
      weightDType(name, shape, dtype),
      shape,
      bytesOf(random(count, scale, i + 1)),
    );
  }
  const distance = args.biases === 'plain' ? undefined : { metric: args.biases, slopes: 0.02 };
  const settings = resolveSettings({ lengthScale: args.biases !== 'plain', distance }, config);
  const grid = size / 16;
  const pixels = random(3 * size * size, 2, 99);
  const runs = Number(args.runs);

  // GEMM rate before and after the encoder, in this process: a drifting machine shows.
  const side = Number(args.gemm ?? 8192);
  const [m, k, n] = onCuda || args.gemm ? [side, side, side] : [4096, 768, 3072];
  await session.setWeight('gemm', 'f32', dtype, [n, k], bytesOf(random(n * k, 0.05, 7)));
  const x = random(m * k, 1, 5);
  const gemm = async () => {
    const times = [];
    for (let i = 0; i < 7; i++) {
      await session.run(
        'gemm',
        () => {
          const graph = new Graph();
          const value = ops.cast(graph.input('x', [m, k]), dtype);
          const product = ops.linear(value, graph.weight('gemm', [n, k], dtype));
          graph.output(ops.slice(ops.reshape(product, [1, m, n]), 0, 1));
          return graph;
        },
        [x],
        { onProfile: (rows) => times.push(rows.find((row) => row.op === 'linear').milliseconds) },
      );
    }
    return (2 * m * k * n) / median(times.slice(1)) / 1e6;
  };
  const before = await gemm();
  const encode = (options) =>
    session.run(
      `encoder`,
      () => imageEncoder(config, { batch: 1, grid: { h: grid, w: grid }, settings, dtype }),
      [pixels],
      options,
    );
  const opTimes = [];
  const perOp = new Map();
  for (let i = 0; i < runs + 1; i++) {
    await encode({
      onProfile: (rows) => {
        if (i === 0) return; // packs weights and folds constants
        opTimes.push(rows.reduce((sum, row) => sum + row.milliseconds, 0));
        const sums = new Map();
        for (const row of rows) sums.set(row.op, (sums.get(row.op) ?? 0) + row.milliseconds);
        for (const [op, ms] of sums) perOp.set(op, [...(perOp.get(op) ?? []), ms]);
      },
    });
  }
  const walls = onCuda ? await timeWalls(() => encode({}), runs) : [];
  const transfers = onCuda ? await timeWalls(() => transfer(session, Graph, ops, pixels, grid), runs) : [];
  const times = onCuda ? walls : opTimes;
  const after = await gemm();
  const gflops = (before + after) / 2;
  const ms = median(times);
  const work = operations(config, grid);
  const row = {
    model: args.model,
    size,
    dtype,
    biases: args.biases,
    device: session.device,
    ms: round(ms, onCuda ? 3 : 1),
    min_ms: round(Math.min(...times), onCuda ? 3 : 1),
    max_ms: round(Math.max(...times), onCuda ? 3 : 1),
    ...(onCuda && { device_ms: round(median(opTimes), 3), transfer_ms: round(median(transfers), 3) }),
    gflop: round(work.total / 1e9),
    gemm_gflops: [round(before), round(after)],
    gflops: round(work.total / ms / 1e6),
    efficiency: round(work.total / 1e6 / gflops / ms, 3),
    peak_rss_mb: round(process.resourceUsage().maxRSS / 1024),
    ops_ms: Object.fromEntries(
      [...perOp].map(([op, list]) => [op, round(median(list), onCuda ? 3 : 1)]).sort((a, b) => b[1] - a[1]),
    ),
  };
  await session.dispose();
  process.stdout.write(JSON.stringify(row));
}

/** Whole runs by the clock; the first ones are warm-up and, on CUDA, the capture of a graph. */
async function timeWalls(run, runs) {
  const times = [];
  for (let i = 0; i < runs + 3; i++) {
    const start = performance.now();
    await run();
    if (i >= 3) times.push(performance.now() - start);
  }
  return times;
}

/** The encoder's input and output sizes with a copy between them. */
async function transfer(session, Graph, ops, pixels, grid) {
  const out = 256 * grid * grid;
  const build = () => {
    const graph = new Graph();
    graph.output(ops.slice(graph.input('x', [1, pixels.length / 256, 256]), 0, out / 256));
    return graph;
  };
  await session.run('transfer', build, [pixels]);
}

function round(value, digits = 1) {
  return Number(value.toFixed(digits));
}

function measureAll() {
  const rows = [];
  for (const dtype of args.dtypes.split(',')) {
    for (const size of args.sizes.split(',')) {
      process.stderr.write(`${args.model} ${size} ${dtype} …\n`);
      const child = spawnSync(
        process.execPath,
        [
          file,
          '--row',
          '--model',
          args.model,
          '--sizes',
          size,
          '--dtypes',
          dtype,
          '--runs',
          args.runs,
          '--biases',
          args.biases,
          '--device',
          args.device,
          ...(args.gemm ? ['--gemm', args.gemm] : []),
        ],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 24 },
      );
      if (child.status !== 0) {
        rows.push({
          model: args.model,
          size: Number(size),
          dtype,
          failed: child.signal ?? `exit ${child.status}`,
        });
        continue;
      }
      rows.push(JSON.parse(child.stdout));
    }
  }
  const columns = [
    'model',
    'size',
    'dtype',
    'ms',
    'min_ms',
    'max_ms',
    'gflops',
    'gemm_gflops',
    'efficiency',
    'peak_rss_mb',
  ];
  console.table(
    rows.map((row) =>
      Object.fromEntries(columns.map((column) => [column, String(row[column] ?? row.failed)])),
    ),
  );
  if (rows.some((row) => row.failed)) process.exitCode = 1;
  if (args.profile) for (const row of rows) console.log(row.size, row.dtype, row.ops_ms);
  if (args.json) {
    const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
    const git = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' });
    const commit = process.env.BA_SAM_COMMIT ?? git.stdout?.trim() ?? 'unknown';
    const { native, cudaAddon } = require(path.join(root, 'dist/native.js'));
    const machine = {
      cpu: os.cpus()[0].model,
      cores: os.availableParallelism(),
      memory_gb: round(os.totalmem() / 2 ** 30),
      ...(args.device === 'cpu' ? native() : cudaAddon()).info(),
    };
    const result = {
      benchmark: 'encoder',
      date: new Date().toISOString().slice(0, 10),
      version,
      commit,
      node: process.version,
      machine,
      rows,
    };
    writeFileSync(args.json, `${JSON.stringify(result, null, 1)}\n`);
  }
}

if (args.row) await measureRow(Number(args.sizes), args.dtypes);
else measureAll();
