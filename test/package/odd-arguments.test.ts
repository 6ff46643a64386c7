// Every public function with values that it does not expect: whatever fails is a SamError, never a TypeError from within.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as evaluation from '../../lib/eval';
import * as lib from '../../lib/index';

const folder = mkdtempSync(path.join(tmpdir(), 'ba-sam-odd-'));
const at = (name: string) => path.join(folder, name);

/** Reading any of these throws: in options that is an argument error, elsewhere the caller's own. */
class Trap extends Error {}
const trap = () => {
  throw new Trap();
};
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
const HOSTILE = {
  'a proxy that throws': new Proxy({}, { get: trap, has: trap, ownKeys: trap, getPrototypeOf: trap }),
  'a revoked proxy': revoked(),
  'a getter that throws': Object.defineProperty({}, 'signal', { get: trap, enumerable: true }),
};

const cyclic: Record<string, unknown> = {};
cyclic.self = cyclic;
const ODD = {
  ...{ undefined: undefined, null: null, true: true, NaN: Number.NaN, '-1': -1, Infinity: 1 / 0, bigint: 3n },
  ...{
    symbol: Symbol('s'),
    '': '',
    'null byte': 'a\0b',
    text: at('no such file'),
    function: () => {},
    '{}': {},
  },
  ...{ '[]': [], '[null]': [null], '[[]]': [[]], '[undefined]': [undefined], holes: new Array(3), cyclic },
  ...{ DataView: new DataView(new ArrayBuffer(8)), Uint8Array: new Uint8Array(3) },
  ...{
    Float32Array: new Float32Array(3),
    BigInt64Array: new BigInt64Array(2),
    ArrayBuffer: new ArrayBuffer(4),
  },
  ...{ SharedArrayBuffer: new SharedArrayBuffer(4), 'no prototype': Object.create(null) },
  ...{ Date: new Date(Number.NaN), Map: new Map(), promise: Promise.resolve(1) },
  ...{ 'toString that throws': { toString: trap, valueOf: trap }, 'array-like': { length: 2, 0: 1, 1: 2 } },
  ...{ 'URL of a host': new URL('file://host/x'), 'URL of the web': new URL('http://a/b') },
  ...{ 'URL with %2f': new URL('file:///a%2fb'), 'URL with a bad escape': new URL('file:///%E0%A4%A') },
  ...{ 'URL with a null byte': new URL('file:///%00') },
  'signal without throwIfAborted': {
    signal: { aborted: false, addEventListener() {}, removeEventListener() {}, reason: undefined },
  },
  'raw image in a DataView': { data: new DataView(new ArrayBuffer(12)), width: 2, height: 2 },
  'raw image of nothing': { data: null, width: 2, height: 2 },
  'pixel values of nothing': { pixelValues: null, shape: null },
  'pixel values with a bigint': { pixelValues: new Float32Array(3072), shape: [1, 3, 32, 32n] },
};

const image = { data: new Uint8Array(3 * 32 * 24).fill(90), width: 32, height: 24 };
const mask = new Uint8Array(32 * 24).fill(1);
const rle = lib.encodeRle(mask, 32, 24);
const box = { box: [1, 2, 30, 20] };
const data = new Float32Array(8);
const tensor = { name: 'x', dtype: 'f32', shape: [1], data: new Float32Array(1) };
const size = { width: 32, height: 32 };
const info = { image: size, content: size, input: size, dtype: 'f32' };
const settings = { mode: 'paper', lengthScale: false, distance: null };
const sum = () => {
  const graph = new lib.Graph();
  graph.output(lib.ops.add(graph.input('a', [2]), graph.input('b', [2])));
  return graph;
};
const graph = new lib.Graph();
const value = (...shape: number[]) => graph.input(`v${graph.inputs.length}`, shape);
const grid = { h: 2, w: 2 };
const [vector, matrix, map] = [value(8), value(8, 8), value(1, 2, 2, 8)];
const kernel = value(8, 8, 2, 2);
const pointWeights = { gaussian: value(2, 4), notAPoint: matrix, points: [matrix, matrix, matrix, matrix] };
const chart = { title: '', xLabel: '', panels: [{ title: '', series: [{ name: '', points: [[1, 2]] }] }] };
const means = [{ size: 1, attention: 'plain', values: { iou: 0.5 } }];
const table = { means, keys: new Map([['iou', { label: 'IoU', better: 'higher' }]]) };
const [sf, png] = [at('odd.safetensors'), at('odd.png')];

let sam: lib.Sam;
let session: lib.Session;
let embedding: lib.Embedding;
let lowRes: Float32Array;
beforeAll(async () => {
  sam = await lib.Sam.load(undefined, { device: 'cpu' });
  session = new lib.Session({ device: 'cpu' });
  embedding = await sam.encode(image, { longestSide: 32 });
  lowRes = (await sam.predict(embedding, { box: [1, 2, 30, 20] })).best.lowRes;
});
afterAll(async () => {
  await Promise.all([sam.dispose(), session.dispose()]);
  rmSync(folder, { recursive: true });
});

// biome-ignore lint/suspicious/noExplicitAny: wrong types are what this is about.
type Call = (...args: any[]) => unknown;
/** A call with arguments that are right; each of them in turn is replaced. `o`: the index of its options. */
const CALLS: Readonly<Record<string, { good: () => unknown[]; call: Call; o?: number }>> = {
  'Sam.load': { good: () => ['gone.pth', {}], call: (a, b) => lib.Sam.load(a, b), o: 1 },
  encode: { good: () => [image, { longestSide: 32 }], call: (a, b) => sam.encode(a, b), o: 1 },
  predict: { good: () => [embedding, box, {}], call: (a, b, c) => sam.predict(a, b, c), o: 2 },
  'predict, one of several': { good: () => [box], call: (a) => sam.predict(embedding, [a]), o: 0 },
  'predict, points': { good: () => [[[1, 2]]], call: (points) => sam.predict(embedding, { points }) },
  'predict, a point': { good: () => [[1, 2]], call: (a) => sam.predict(embedding, { points: [a] }) },
  'predict, box': { good: () => [box.box], call: (a) => sam.predict(embedding, { box: a }) },
  'predict, mask': { good: () => [lowRes], call: (a) => sam.predict(embedding, { mask: a }) },
  segment: { good: () => [image, box, { longestSide: 32 }], call: (a, b, c) => sam.segment(a, b, c), o: 2 },
  upsampleLogits: {
    good: () => [embedding, { lowRes }, {}],
    call: (a, b, c) => sam.upsampleLogits(a, b, c),
    o: 2,
  },
  Embedding: {
    good: () => [data, [1, 2, 2, 2], { ...info, settings }],
    call: (a, b, c) => new lib.Embedding(a, b, c),
    o: 2,
  },
  'Embedding.at': { good: () => [0], call: (a) => embedding.at(a) },
  'Embedding.save': { good: () => [sf], call: (a) => embedding.save(a) },
  'Embedding.load': { good: () => [sf, {}], call: (a, b) => lib.Embedding.load(a, b), o: 1 },
  decodeImage: { good: () => [image, {}], call: (a, b) => lib.decodeImage(a, b) },
  'decodeImage, raw': {
    good: () => [image.data, 32, 24, 3],
    call: (bytes, width, height, channels) => lib.decodeImage({ data: bytes, width, height, channels }),
  },
  overlay: { good: () => [image, [{ data: mask }], {}], call: (a, b, c) => lib.overlay(a, b, c), o: 2 },
  unionMasks: { good: () => [[mask]], call: (a) => lib.unionMasks(a) },
  'unionMasks, one': { good: () => [mask], call: (a) => lib.unionMasks([a]) },
  writeMaskPng: { good: () => [png, mask, 32, 24], call: (a, b, c, d) => lib.writeMaskPng(a, b, c, d) },
  writeOverlayPng: {
    good: () => [png, image, [{ data: mask }], {}],
    call: (a, b, c, d) => lib.writeOverlayPng(a, b, c, d),
    o: 3,
  },
  encodeRle: { good: () => [mask, 32, 24], call: (a, b, c) => lib.encodeRle(a, b, c) },
  decodeRle: { good: () => [rle], call: (a) => lib.decodeRle(a) },
  'decodeRle, parts': {
    good: () => [rle.size, rle.counts],
    call: (a, counts) => lib.decodeRle({ size: a, counts }),
  },
  maskArea: { good: () => [mask], call: (a) => lib.maskArea(a) },
  maskBox: { good: () => [mask, 32, 24], call: (a, b, c) => lib.maskBox(a, b, c) },
  writeSafetensors: { good: () => [sf, [tensor], {}], call: (a, b, c) => lib.writeSafetensors(a, b, c) },
  'writeSafetensors, a tensor': { good: () => [tensor], call: (a) => lib.writeSafetensors(sf, [a]) },
  'writeSafetensors, fields': {
    good: () => ['x', 'f32', [1], new Float32Array(1)],
    call: (name, dtype, shape, values) => lib.writeSafetensors(sf, [{ name, dtype, shape, data: values }]),
  },
  openSamCheckpoint: { good: () => ['gone.pth'], call: (a) => lib.openSamCheckpoint(a) },
  attention: {
    good: () => [data, data, data, { heads: 1, headDim: 8 }],
    call: (a, b, c, d) => lib.attention(a, b, c, d),
    o: 3,
  },
  alibiSlopes: { good: () => [3], call: (a) => lib.alibiSlopes(a) },
  setThreads: { good: () => [-1], call: (a) => lib.setThreads(a) },
  Session: { good: () => [{}], call: (a) => new lib.Session(a).dispose(), o: 0 },
  'Session.run': {
    good: () => ['sum', sum, [new Float32Array(2), new Float32Array(2)], {}],
    call: (a, b, c, d) => session.run(a, b, c, d),
    o: 3,
  },
  'Session.run, an input': {
    good: () => [new Float32Array(2)],
    call: (a) => session.run('sum', sum, [a, new Float32Array(2)]),
  },
  'Session.setWeight': {
    good: () => ['w', 'f32', 'f32', [1], new Uint8Array(4)],
    call: (a, b, c, d, e) => session.setWeight(a, b, c, d, e),
  },
  'Session.setParameter': {
    good: () => ['p', 'f32', [1], new Float32Array(1)],
    call: (a, b, c, d) => session.setParameter(a, b, c, d),
  },
  'Session.readParameter': {
    good: () => ['p', new Float32Array(1)],
    call: (a, b) => session.readParameter(a, b),
  },
  evaluate: {
    good: () => [{ dataset: 'folder', root: at('gone'), out: at('out') }],
    call: (a) => evaluation.evaluate(a),
    o: 0,
  },
  evaluateSuite: {
    good: () => [{ config: at('gone.json'), out: at('out') }],
    call: (a) => evaluation.evaluateSuite(a),
  },
  openDataset: { good: () => ['folder', at('gone'), {}], call: (a, b, c) => evaluation.openDataset(a, b, c) },
  'Graph.weight': { good: () => ['w', [1], 'f32'], call: (a, b, c) => new lib.Graph().weight(a, b, c) },
  'Graph.parameter': {
    good: () => ['p', [1], 'f32'],
    call: (a, b, c) => new lib.Graph().parameter(a, b, c),
  },
  imageEncoder: {
    good: () => [sam.config, { batch: 1, grid, settings, dtype: 'f32' }],
    call: (a, b) => lib.imageEncoder(a, b),
    o: 1,
  },
  imageTokens: { good: () => [sam.config.decoder, grid], call: (a, b) => lib.imageTokens(a, b), o: 1 },
  maskDecoder: {
    good: () => [
      sam.config.decoder,
      { grid, input: size, prompts: 1, tokens: 1, maskPrompt: false, multimask: false },
    ],
    call: (a, b) => lib.maskDecoder(a, b),
    o: 1,
  },
  hqFeatures: {
    good: () => [
      { ...sam.config.decoder, hq: { earlyChannels: 8 } },
      { batch: 1, grid },
    ],
    call: (a, b) => lib.hqFeatures(a, b),
    o: 1,
  },
  add: { good: () => [vector, vector], call: lib.ops.add },
  'ops.attention': {
    good: () => [map, map, map, { heads: 1, scale: 1 }],
    call: lib.ops.attention,
  },
  'attention, heads': {
    good: () => [2, 1, []],
    call: (heads, scale, slopes) => lib.ops.gridAttention(value(1, 2, 2, 24), { heads, scale, slopes }),
  },
  gridAttention: {
    good: () => [value(1, 2, 2, 24), { heads: 2, scale: 1 }],
    call: lib.ops.gridAttention,
  },
  gridAttentionWithLogSumExp: {
    good: () => [value(1, 2, 2, 24), { heads: 2, scale: 1 }],
    call: lib.ops.gridAttentionWithLogSumExp,
  },
  cast: { good: () => [vector, 'bf16'], call: lib.ops.cast },
  concat: { good: () => [[map, map]], call: lib.ops.concat },
  'concat, one': { good: () => [map], call: (a) => lib.ops.concat([map, a]) },
  convTranspose2d: { good: () => [map, kernel, {}], call: lib.ops.convTranspose2d },
  conv2d: { good: () => [map, kernel, {}], call: lib.ops.conv2d },
  'conv2d, options': {
    good: () => [vector, 1, 1, 'relu', 'f32'],
    call: (bias, stride, padding, activation, dtype) =>
      lib.ops.conv2d(map, kernel, { bias, stride, padding, activation, dtype }),
  },
  depthwiseConv2d: { good: () => [map, value(8, 1, 2, 2), {}], call: lib.ops.depthwiseConv2d },
  gridEncoding: { good: () => [pointWeights.gaussian, grid], call: lib.ops.gridEncoding },
  layerNorm: { good: () => [map, vector, vector, { eps: 1 }], call: lib.ops.layerNorm },
  layerNormWithStatistics: {
    good: () => [map, vector, vector, { eps: 1 }],
    call: lib.ops.layerNormWithStatistics,
  },
  linear: { good: () => [map, matrix, {}], call: lib.ops.linear },
  'linear, options': {
    good: () => [vector, 'relu', map, 'f32', false],
    call: (bias, activation, residual, dtype, f8) =>
      lib.ops.linear(map, matrix, { bias, activation, residual, dtype, f8 }),
  },
  matmul: { good: () => [value(1, 2, 8), value(1, 2, 8)], call: lib.ops.matmul },
  patchEmbed: { good: () => [value(1, 3, 4, 4), value(8, 3, 2, 2), {}], call: lib.ops.patchEmbed },
  'patchEmbed, photograph': {
    good: () => [{ content: vector, mean: [1, 1, 1], std: [1, 1, 1] }],
    call: (photograph) =>
      lib.ops.patchEmbed(graph.input(`u${graph.inputs.length}`, [1, 4, 4, 3], 'u8'), value(8, 3, 2, 2), {
        photograph,
      }),
  },
  pointEncoding: {
    good: () => [value(1, 1, 2), value(1, 1), pointWeights, size],
    call: lib.ops.pointEncoding,
  },
  reshape: { good: () => [matrix, [4, 16]], call: lib.ops.reshape },
  resizePositions: { good: () => [map, { h: 3, w: 3 }], call: lib.ops.resizePositions },
  resizeRelPos: { good: () => [matrix, 3, vector], call: lib.ops.resizeRelPos },
  slice: { good: () => [value(1, 4, 8), 0, 1], call: lib.ops.slice },
  transpose: { good: () => [map, 'channelsFirst'], call: lib.ops.transpose },
  upsampleMasks: {
    good: () => [value(1, 1, 8, 8), { input: size, content: size, out: size }, 'u8'],
    call: lib.ops.upsampleMasks,
  },
  lineChart: { good: () => [chart], call: (a) => evaluation.lineChart(a), o: 0 },
  'lineChart, panels': { good: () => [[], []], call: (panels) => evaluation.lineChart({ ...chart, panels }) },
  writeChart: {
    good: () => [at('chart'), evaluation.lineChart(chart as never)],
    call: evaluation.writeChart,
  },
  resultTable: { good: () => [table], call: (a) => evaluation.resultTable(a), o: 0 },
  suiteTable: {
    good: () => [new Map([['a', { ...table, images: 1 }]])],
    call: (a) => evaluation.suiteTable(a),
  },
  attentionSettings: { good: () => ['plain'], call: (a) => evaluation.attentionSettings(a) },
  createMetrics: { good: () => [['iou'], {}], call: (a, b) => evaluation.createMetrics(a, b), o: 1 },
  CocoApMetric: { good: () => [{}], call: (a) => new evaluation.CocoApMetric(a), o: 0 },
  interiorPoint: { good: () => [{ data: mask, width: 32, height: 24 }], call: evaluation.interiorPoint },
  'Graph.input': { good: () => ['x', [1], 'f32'], call: (a, b, c) => new lib.Graph().input(a, b, c) },
  'Graph.output': { good: () => [vector], call: (a) => graph.output(a) },
};

describe.each(Object.entries(CALLS))('%s', (name, { good, call, o }) => {
  async function failure(index: number, value: unknown): Promise<unknown> {
    const args = good();
    args[index] = value;
    try {
      await call(...args);
      return undefined;
    } catch (error) {
      return error;
    }
  }

  // Of files there are none: those calls fail later. Threads that are set stay.
  if (name !== 'setThreads') {
    it('takes what it expects', async () => {
      const { code } = ((await failure(-1, undefined)) ?? {}) as Partial<lib.SamError>;
      expect([undefined, 'ERR_IO', 'ERR_DATASET']).toContain(code);
    });
  }

  it('refuses what it does not expect by a SamError', async () => {
    const count = good().length;
    const wrong: string[] = [];
    for (let index = 0; index < count; index++) {
      for (const [kind, value] of Object.entries(ODD)) {
        const error = await failure(index, value);
        if (error === undefined) continue;
        const { name, code, message } = error as lib.SamError;
        if (error instanceof lib.SamError && code !== 'ERR_INTERNAL' && message.length < 1000) continue;
        wrong.push(`argument ${index}, ${kind}: ${name} ${code} ${message}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  if (o === undefined) return;
  it.each(Object.entries(HOSTILE))('refuses %s as options', async (_kind, value) => {
    expect(await failure(o, value)).toMatchObject({ name: 'SamError', code: 'ERR_INVALID_ARGUMENT' });
  });
});
