// Rounds of the peers' benchmark with fake workers: order, medians, comparison, and every way in which a turn can go wrong.
import { describe, expect, it } from 'vitest';
import { orderOf } from '../../../bench/peers/rounds.mts';
import { type FakePeer, fakeRounds } from './helpers';

const A: FakePeer = { peer: 'A', dtype: 'f32' };
const B: FakePeer = { peer: 'B', dtype: 'f32' };
const C: FakePeer = { peer: 'C', dtype: 'f32' };
const TIMES = ['ms', 'min_ms', 'max_ms', 'runs_ms', 'first_ms'];

/** The first peer with other acts; A goes before it and is right. */
async function besideA(act: Record<string, unknown>, options = {}) {
  const { rows } = await fakeRounds([A, { ...C, acts: [act] }], options);
  expect(rows[0]).toMatchObject({ peer: 'A', status: 'ok' });
  for (const name of TIMES) if (rows[1].status !== 'ok') expect(rows[1]).not.toHaveProperty(name);
  return rows[1];
}

describe('order', () => {
  it('is the list first, then another beginning in every round', () => {
    const peers = [...'abcdefgh'];
    const orders = [0, 1, 2].map((round) => orderOf(peers, round, 3).join(''));
    expect(orders).toEqual(['abcdefgh', 'cdefghab', 'efghabcd']);
    expect(new Set([0, 1, 2].map((round) => orderOf(['a', 'b', 'c'], round, 9).join(''))).size).toBe(3);
  });

  it('is kept by the turns', async () => {
    const { order } = await fakeRounds([A, B, C], { rounds: 3 });
    expect(
      order()
        .map((name) => name[0])
        .join(''),
    ).toBe('ABCBCACAB');
  });
});

describe('a row', () => {
  it('has the medians of all turns', async () => {
    const acts = [{ ms: 30 }, { ms: 10, error: 1e-4 }, { ms: 20 }];
    const { rows, snapshots, texts } = await fakeRounds([A, { ...C, acts }], { rounds: 3, runs: 3 });
    expect(rows[1]).toMatchObject({
      ...{ peer: 'C', dtype: 'f32', model: 'fake', size: 64, status: 'ok', turns: 3, reference: 'A f32' },
      ...{ ms: 21, min_ms: 10, max_ms: 32, load_s: 0.5, first_ms: 60, peak_rss_mb: 70 },
      versions: { fake: '1.2.3' },
    });
    expect(rows[1].runs_ms).toHaveLength(9);
    expect(rows[1].difference).toBeCloseTo(1e-4, 6);
    expect(rows[0].difference).toBe(0);
    // What has been measured is handed over after every turn.
    expect(snapshots.map((soFar) => soFar.map(({ turns }) => turns).join())).toEqual([
      '1',
      '1,1',
      '1,2',
      '2,2',
      '3,2',
      '3,3',
    ]);
    expect(texts[3]).toMatch(/^64 px, round 1 of 3: C f32 30, 31, 32 ms, 70 MB, difference/);
  });

  it('says that a peer is not installed, without a turn', async () => {
    const { rows, order, texts } = await fakeRounds([{ ...A, skipped: 'not installed: a' }, B]);
    expect(rows[0]).toEqual({
      peer: 'A',
      dtype: 'f32',
      model: 'fake',
      size: 64,
      status: 'skipped',
      reason: 'not installed: a',
    });
    expect(rows[1]).toMatchObject({ status: 'ok', reference: 'B f32' });
    expect(order()).toEqual(['B f32']);
    expect(texts[0]).toBe('64 px: A f32 skipped: not installed: a');
  });

  it('belongs to one size: a failure at one says nothing about the next', async () => {
    const acts = [{ act: 'fail', words: 'MemoryError' }, {}];
    const { rows } = await fakeRounds([A, { ...C, acts }], { sizes: [64, 128] });
    expect(rows.map(({ size, status }) => `${size} ${status}`)).toEqual([
      '64 ok',
      '64 out of memory',
      '128 ok',
      '128 ok',
    ]);
  });
});

describe('comparison', () => {
  it('allows 1e-3 in f32 and 3e-2 in bf16', async () => {
    const bf16 = (error: number): FakePeer => ({ peer: 'C', dtype: 'bf16', acts: [{ error }] });
    const { rows } = await fakeRounds([A, { ...C, acts: [{ error: 9e-4 }] }, bf16(2.9e-2), bf16(3.1e-2)]);
    expect(rows.map(({ status }) => status)).toEqual(['ok', 'ok', 'ok', 'disagrees']);
    const row = await besideA({ error: 1.1e-3 });
    expect(row).toMatchObject({
      status: 'disagrees',
      reason: 'relative difference from A f32: 0.00110, the limit is 0.001',
    });
  });

  it('takes the times away when a later turn disagrees', async () => {
    const { rows } = await fakeRounds([A, { ...C, acts: [{}, { error: 0.5 }] }], { rounds: 3 });
    expect(rows[1]).toMatchObject({ status: 'disagrees' });
    for (const name of TIMES) expect(rows[1]).not.toHaveProperty(name);
  });

  it('does not believe what is not finite', async () => {
    expect(await besideA({ act: 'notFinite' })).toMatchObject({
      status: 'disagrees',
      reason: 'relative difference from A f32: not finite, the limit is 0.001',
    });
  });

  it.each(['notFinite', 'zero'])('takes the next reference when the first is %s', async (act) => {
    const { rows } = await fakeRounds([{ ...A, acts: [{ act }] }, { ...B, acts: [{ ground: 3 }] }, C]);
    expect(rows[0]).toMatchObject({ status: 'disagrees', reason: 'its embedding is zero or not finite' });
    expect(rows[1]).toMatchObject({ status: 'ok', reference: 'B f32' });
    expect(rows[2]).toMatchObject({ status: 'disagrees' });
  });

  it('takes the next reference when the first fails', async () => {
    const { rows } = await fakeRounds([{ ...A, acts: [{ act: 'fail', words: 'KeyError: 1' }] }, B, C]);
    expect(rows.map(({ status }) => status)).toEqual(['failed', 'ok', 'ok']);
    expect(rows[2].reference).toBe('B f32');
  });

  it('reports no time without a reference', async () => {
    const { rows } = await fakeRounds([{ ...A, dtype: 'bf16' }, C]);
    for (const row of rows) {
      expect(row).toMatchObject({
        status: 'failed',
        reason: 'there is no f32 reference of this size to compare it with',
      });
      expect(row).not.toHaveProperty('ms');
    }
  });
});

describe('a turn that goes wrong', () => {
  it('is ended above the memory limit, with what it started', async () => {
    const row = await besideA({ act: 'grow' }, { memory_gb: 0.4 });
    expect(row).toMatchObject({
      status: 'out of memory',
      reason: expect.stringMatching(/^held 0\.[4-9] GB at 64 px, the limit was 0\.4 GB$/),
    });
    expect(row.peak_rss_mb).toBeGreaterThan(400);
    expect(row.peak_rss_mb).toBeLessThan(1000);
  });

  it('is ended after the time limit', async () => {
    expect(await besideA({ act: 'hang' }, { timeout_s: 1 })).toMatchObject({
      status: 'timed out',
      reason: 'after 1 s at 64 px',
    });
  });

  it('is out of memory in its own words', async () => {
    const words =
      "RuntimeError: [enforce fail at /build/c10/alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory";
    const row = await besideA({ act: 'fail', words });
    expect(row.status).toBe('out of memory');
    expect(row.reason).toMatch(
      /^at 64 px, with 0\.\d GB before: RuntimeError: \[enforce fail at alloc_cpu\.cpp:127\]/,
    );
  });

  it.each([
    ['fail', 'failed', 'TypeError: no such thing'],
    ['die', 'failed', 'ended by SIGSEGV'],
    [
      'garbage',
      'failed',
      'Expected a line of JSON from the worker but received Segmentation complete! {"ms": 1}',
    ],
    ['silent', 'failed', 'Expected a line of JSON from the worker but received nothing'],
    ['shortReport', 'failed', "the worker's report has no usable runs_ms"],
    ['noEmbedding', 'failed', 'no embedding: ENOENT'],
    ['otherGrid', 'failed', 'Expected an embedding of 16384 bytes but found 1024'],
  ])('%s: %s', async (act, status, reason) => {
    expect(await besideA({ act, words: 'TypeError: no such thing' })).toMatchObject({ status, reason });
  });

  it('takes the times of earlier turns with it and gets no further turn', async () => {
    const acts = [{}, { act: 'fail', words: 'bad allocation' }];
    const { rows, order } = await fakeRounds([A, { ...C, acts }], { rounds: 4 });
    expect(rows[1]).toMatchObject({ status: 'out of memory' });
    expect(rows[1]).not.toHaveProperty('ms');
    expect(order().filter((name) => name === 'C f32')).toHaveLength(2);
  });
});

describe('an interruption', () => {
  it('ends the child and keeps what was measured', async () => {
    const abort = new AbortController();
    const acts = [{}, { act: 'hang' }];
    const onTurn = async (text: string, order: () => string[]) => {
      if (text !== '64 px, round 2 of 5: B f32 …') return;
      await expect.poll(order).toHaveLength(4);
      abort.abort();
    };
    const peers = [A, { ...B, acts }, C];
    const { rows, order } = await fakeRounds(peers, { rounds: 5, signal: abort.signal, onTurn });
    expect(rows.map(({ peer, status, turns }) => `${peer} ${status} ${turns}`)).toEqual([
      'A ok 1',
      'B ok 1',
      'C ok 1',
    ]);
    expect(order().at(-1)).toBe('B f32');
  });
});
