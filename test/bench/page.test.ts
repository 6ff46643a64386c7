// The performance page from invented results: numbers, directions of ratios, rows that failed, what is missing.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attention, DATE, decoder, encoder, onGpu, peer, result } from './made-up-results';
import { PageFolder } from './page-folder';

let folder: PageFolder;
beforeEach(async () => {
  folder = await PageFolder.create();
});
afterEach(() => folder.remove());

/** Cells of the first table row that holds all these cells. */
function rowWith(page: string, ...cells: string[]): string[] {
  const rows = page.split('\n').map((line) => line.split('|').slice(1, -1));
  const found = rows
    .map((row) => row.map((cell) => cell.trim()))
    .find((row) => cells.every((c) => row.includes(c)));
  if (!found) throw new Error(`no row with ${cells}:\n${page}`);
  return found;
}

const lineWith = (page: string, text: string) => page.split('\n').find((line) => line.includes(text));

describe('peers', () => {
  const ours = peer('ba-sam');

  it('are compared in the right direction: above 1 speaks for ba-sam', () => {
    const { page } = folder.pageOf({
      peers: result('peers', [
        peer('Fast', { ms: 500, min_ms: 490, max_ms: 510, peak_rss_mb: 800 }),
        ours,
        peer('Slow', { ms: 2500, min_ms: 2400, max_ms: 2600, peak_rss_mb: 100 }),
        peer('Alike', { ms: 1050, min_ms: 1000, max_ms: 1200 }),
      ]),
    });
    const columns = rowWith(page, 'input', 'peer', 'time');
    const value = (name: string, column: string) =>
      rowWith(page, '1024 × 1024', name)[columns.indexOf(column)];
    expect(value('Fast', 'against ba-sam')).toBe('0.50×, ba-sam slower');
    expect(value('Slow', 'against ba-sam')).toBe('2.50×, ba-sam faster');
    expect(value('Alike', 'against ba-sam')).toBe('1.05×, ranges overlap');
    expect(value('Fast', 'memory against ba-sam')).toBe('4.00×, ba-sam less');
    expect(value('Slow', 'memory against ba-sam')).toBe('0.50×, ba-sam more');
    expect(value('Alike', 'memory against ba-sam')).toBe('1.00×, the same');
    expect(rowWith(page, '1024 × 1024', '**ba-sam**')).toEqual([
      ...['1024 × 1024', '**ba-sam**', '1.00 s (0.900 … 1.10)', '3', '', '1.50 s', '0.500 s', '200 MiB', ''],
      '1.3e-6',
    ]);
    // The fastest comes first.
    const names = [...page.matchAll(/^\| 1024 × 1024 \| \**([\w-]+)/gm)].map(([, name]) => name);
    expect(names).toEqual(['Fast', 'ba-sam', 'Alike', 'Slow']);
  });

  it('are summed up in sentences that say slower as plainly as faster', () => {
    const at = (size: number, ms: number, peak_rss_mb: number) => ({
      ...{ size, ms, min_ms: 0.95 * ms, max_ms: 1.05 * ms, peak_rss_mb },
    });
    const { page } = folder.pageOf({
      peers: result('peers', [
        ...[at(512, 100, 10), at(1024, 1000, 20), at(2048, 8000, 80)].map((more) => peer('ba-sam', more)),
        ...[at(512, 50, 40), at(1024, 1500, 50), at(2048, 8100, 60)].map((more) => peer('Other', more)),
      ]),
    });
    expect(lineWith(page, '**Other, f32.**')).toBe(
      '- **Other, f32.** ba-sam is faster at 1024 px (1.50×); slower at 512 px (0.50×); not told apart at 2048 px (1.01×), ' +
        'where the ranges overlap. Its peak memory is lower at 512 px (4.00×) and 1024 px (2.50×); higher at 2048 px (0.75×).',
    );
  });

  it('that have no numbers are named with their reasons, and disagreeing times are not shown', () => {
    const { page, charts } = folder.pageOf({
      peers: result('peers', [
        ours,
        { ...peer('Wrong', { ms: 1 }), status: 'disagrees', reason: 'relative L2 0.3' },
        ...[2048, 4096].map((size) => ({
          ...{ peer: 'Big', dtype: 'f32', model: 'vit-b', size, status: 'out of memory' },
          reason: 'killed | at 12 GB',
        })),
        {
          peer: 'Absent',
          dtype: 'bf16',
          model: 'vit-b',
          size: 1024,
          status: 'skipped',
          reason: 'not installed',
        },
      ]),
    });
    expect(page).toContain(
      '- **Wrong**, f32, 1024 px: its times are not shown, because its output disagrees: relative L2 0.3\n' +
        '- **Big**, f32, 2048 px and 4096 px: out of memory: killed \\| at 12 GB\n' +
        '- **Absent**, bf16, 1024 px: skipped: not installed',
    );
    expect(page).not.toMatch(/1\.00 ms|\| Wrong/);
    expect(page).toContain('No peer has numbers beside those of ba-sam');
    expect(charts).toEqual(['performance/peers.svg']);
  });

  it('are not compared with a row of ba-sam that has no numbers', () => {
    const failed = {
      peer: 'ba-sam',
      dtype: 'f32',
      model: 'vit-b',
      size: 1024,
      status: 'failed',
      reason: 'x',
    };
    const { page } = folder.pageOf({ peers: result('peers', [failed, peer('Other')]) });
    expect(rowWith(page, '1024 × 1024', 'Other')).toEqual(expect.arrayContaining(['1.00 s (0.900 … 1.10)']));
    expect(page).not.toMatch(/ba-sam (faster|slower|less|more)|ranges overlap \||NaN/);
    expect(page).toContain('- **ba-sam**, f32, 1024 px: failed: x');
  });

  it('are drawn with one line each, in f32 and bf16', () => {
    const rows = ['f32', 'bf16'].flatMap((dtype) =>
      ['ba-sam', 'Other'].flatMap((name) => [512, 2048].map((size) => peer(name, { dtype, size, ms: size }))),
    );
    folder.save(`${DATE}-bench-peers.json`, result('peers', rows));
    const svg = folder.files().get('performance/peers.svg')!;
    const texts = [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, content]) => content);
    expect(texts.slice(0, 3)).toEqual(['One image through the encoder of vit-b', 'ba-sam', 'Other']);
    // Logarithmic: half a second to two seconds.
    expect(texts.slice(3, 11)).toEqual(['f32: time, s', '0.5', '0.7', '1', '1.5', '2', '3', '512']);
    expect(svg.match(/<g transform/g)).toHaveLength(4);
  });

  it('took turns as the result says, and an interrupted measurement is named', () => {
    const rows = [peer('Other', { reference: 'Other f32' }), peer('ba-sam', { size: 512 }), ours];
    const turns = { rounds: 4, runs_per_turn: 6, limits: { memory_gb: 7.5, timeout_s: 900 } };
    const { page } = folder.pageOf({ peers: result('peers', rows, { ...turns, complete: true }) });
    expect(page).toContain('Rounds of turns: 4, with 6 timed runs in each turn.');
    expect(page).toContain(
      'more than 7.50 GiB, or took longer than 900 s, was ended. The reference is Other f32.',
    );
    expect(page).not.toContain('interrupted');
    expect(page).toContain('npm run bench:peers -- --sizes 512,1024 --json');
    expect(folder.pageOf({ peers: result('peers', rows, { complete: false }) }).page).toContain(
      '**The measurement was interrupted',
    );
    // ba-sam has the first colour, wherever its rows are.
    const svg = folder.files().get('performance/peers.svg')!;
    expect(svg.indexOf('>ba-sam<')).toBeLessThan(svg.indexOf('>Other<'));
  });

  it('missing altogether is said', () => {
    const { page, charts } = folder.pageOf({ encoder: result('encoder', [encoder()]) });
    expect(page).toContain('Peers have not been measured yet');
    expect(page).toContain('## Beside other software\n\nNot measured yet.');
    expect(page).not.toContain('peers.svg');
    expect(charts).toEqual(['performance/scaling.svg']);
  });
});

describe('ba-sam by itself', () => {
  it('encoder: rows, growth, dtypes, where the time goes', () => {
    const { page } = folder.pageOf({
      encoder: result('encoder', [
        encoder({ size: 2048, ms: 80_000, gflop: 7000, gflops: 87.5, efficiency: 0.7, peak_rss_mb: 1500 }),
        encoder(),
        encoder({ dtype: 'bf16', ms: 4000, efficiency: 1.1, gemm_gflops: [200, 220] }),
        { model: 'vit-b', size: 4096, dtype: 'f32', failed: 'its process was ended by SIGKILL' },
      ]),
    });
    expect(rowWith(page, 'f32', '1024 × 1024', '0.80')).toEqual([
      ...['vit-b', 'f32', '1024 × 1024', '10.0 s (9.90 … 10.2)', '5', '1000', '100', '120 … 130', '0.80'],
      '500 MiB',
    ]);
    expect(page).toContain(
      '- **vit-b, f32, from 1024 to 2048 px.** Operations grow 7.00-fold, time 8.00-fold, peak memory 3.00-fold; ' +
        'the rate goes from 100 to 87.5 GFLOP/s, efficiency from 0.80 to 0.70.',
    );
    expect(page).toContain('Time in bf16 over time in f32: 0.40× at 1024 px.');
    expect(page).toMatch(
      /between 0\.70 \(vit-b, f32, 2048 px\) and 1\.10 \(vit-b, bf16, 1024 px\)\. .* up to 10 % .* above 1 lie/,
    );
    expect(page).toContain('- Failed: vit-b, f32, 4096 px: its process was ended by SIGKILL');
    // Casts take 0.5 %: not worth a column.
    expect(rowWith(page, 'model', 'linear')).toEqual([
      ...['model', 'dtype', 'input', 'linear', 'gridAttention', 'others'],
    ]);
    expect(rowWith(page, 'f32', '70 %')).toEqual(['vit-b', 'f32', '1024 × 1024', '70 %', '30 %', '0.5 %']);
  });

  it('encoder: a chart whose axes are logarithmic where powers are expected', () => {
    const rows = [512, 1024, 2048].map((size, i) => encoder({ size, ms: 1000 * 10 ** i }));
    folder.save(`${DATE}-bench-encoder.json`, result('encoder', rows));
    const svg = folder.files().get('performance/scaling.svg')!;
    const panels = svg.split('<g transform').slice(1);
    expect(panels.map((panel) => /class="panel">([^<]*)/.exec(panel)![1])).toEqual([
      ...['time, s', 'GFLOP/s', 'efficiency', 'peak memory, MiB'],
    ]);
    const at = [...panels[0]!.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map((found) =>
      found.map(Number),
    );
    const [, x0, y0] = at[0]!;
    const steps = at.map(([, x, y]) => [(x! - x0!) / (at[1]![1]! - x0!), (y! - y0!) / (at[1]![2]! - y0!)]);
    expect(steps.flat().map((step) => Number(step.toFixed(2)))).toEqual([0, 0, 1, 1, 2, 2]);
  });

  it('attention: a column per kind of bias, its cost only as measured in turn', () => {
    const { page } = folder.pageOf({
      attention: result('attention', [
        attention(),
        attention({ biases: 'rel', ms: 50, share: 0.6, against_none: 1.2 }),
        attention({ biases: 'rel+euclidean', ms: 60, share: 0.5 }),
        attention({ window: 14, ms: 5, min_ms: 4.9, max_ms: 5.1, share: 0.4 }),
        { ...attention({ dtype: 'bf16' }), failed: 'no AVX-512' },
      ]),
    });
    expect(rowWith(page, '4096', 'global')).toEqual([
      ...['4096', '64 × 64', '12', '64', 'global', '40.0 ms (39.0 … 42.0)<br>75 %', '50.0 ms, 1.20×<br>60 %'],
      ...['60.0 ms (39.0 … 42.0)<br>50 %', '500 MiB'],
    ]);
    expect(rowWith(page, '4096', '14 × 14').slice(5)).toEqual([
      '5.00 ms (4.90 … 5.10)<br>40 %',
      '',
      '',
      '500 MiB',
    ]);
    expect(page).toContain('same layer without any: rel 1.20×.');
    expect(page).toContain(
      '- **f32.** The kernel reaches between 40 % (64 × 64 tokens, 12 heads × 64, windows of',
    );
    expect(page).toMatch(/- Failed: bf16, 64 × 64 tokens.*: no AVX-512/);
    expect(page).not.toContain('**bf16**');
  });

  it('decoder: the call and its share of one prompt', () => {
    const { page } = folder.pageOf({ decoder: result('decoder', [decoder()]) });
    expect(rowWith(page, 'f32', '16 × point', '20')).toEqual([
      ...[
        'f32',
        '64 × 64',
        '16 × point',
        '48.0 ms (47.0 … 52.0)',
        '20',
        '3.00 ms',
        '100',
        '120 … 130',
        '25 %',
      ],
      '500 MiB',
    ]);
    expect(rowWith(page, '16 × point', '75 %')).toEqual([
      'f32',
      '64 × 64',
      '16 × point',
      '75 %',
      '25 %',
      '0.0 %',
    ]);
  });
});

describe('the head', () => {
  it('names machine and versions, and what differs between the results', () => {
    const versions = { torch: '2.0', python: '3.11' };
    const { page } = folder.pageOf({
      encoder: result('encoder', [encoder()]),
      decoder: result('decoder', [decoder()], { commit: 'def5678' }),
      peers: result('peers', [
        peer('ba-sam', { versions: { 'ba-sam': '1.2.3' } }),
        peer('PyTorch eager', { versions }),
        peer('PyTorch SDPA', { versions }),
        peer('runtime', { versions: { node: '20.1.0', runtime: '7.7' } }),
      ]),
    });
    expect(rowWith(page, 'machine')).toEqual(['machine', 'Test CPU, 4 cores, 16 GiB of memory']);
    expect(rowWith(page, 'threads')).toEqual(['threads', '4']);
    expect(rowWith(page, 'oneDNN')).toEqual(['oneDNN', '9.9.9']);
    expect(rowWith(page, 'ba-sam')).toEqual([
      'ba-sam',
      '1.2.3, commit abc1234 (encoder and peers); 1.2.3, commit def5678 (decoder)',
    ]);
    expect(rowWith(page, 'PyTorch eager and PyTorch SDPA')[1]).toBe('torch 2.0, python 3.11');
    expect(rowWith(page, 'runtime')[1]).toBe('7.7, node 20.1.0');
    expect(rowWith(page, 'date')).toEqual(['date', DATE]);
  });
});

describe('GPU', () => {
  it('is said to be unmeasured while it is', () => {
    const { page } = folder.pageOf({ encoder: result('encoder', [encoder()]) });
    expect(page.match(/[Nn]othing has been measured on a GPU yet/g)).toHaveLength(3);
  });

  it('has sections of its own, with device memory and copies', () => {
    const device = { device: 'cuda:0', peak_device_mb: 321 };
    const { page, charts } = folder.pageOf({
      encoder: result('encoder', [encoder()]),
      'encoder-test-gpu-3000': result(
        'encoder',
        [encoder({ ...device, ms: 12, min_ms: 11, max_ms: 13, device_ms: 9.5, transfer_ms: 2 })],
        onGpu,
      ),
      'attention-test-gpu-3000': result('attention', [attention({ ...device, dtype: 'f16' })], onGpu),
    });
    expect(page).not.toMatch(/nothing has been measured on a GPU/i);
    expect(rowWith(page, 'GPU')[1]).toMatch(
      /^Test GPU 3000: driver for CUDA 13\.1, .* cuBLASLt 13\.0\.2, ba-sam 1\.2\.3/,
    );
    expect(page).toContain('### Test GPU 3000');
    expect(rowWith(page, '12.0 ms (11.0 … 13.0)').slice(-4)).toEqual([
      '500 MiB',
      '9.50 ms',
      '2.00 ms',
      '321 MiB',
    ]);
    expect(page).toContain('**f16**');
    expect(charts).toEqual(['performance/scaling.svg', 'performance/scaling-test-gpu-3000.svg']);
    // The CPU's table has none of these columns.
    expect(rowWith(page, '10.0 s (9.90 … 10.2)')).toHaveLength(10);
  });
});

describe('scripts/gpu-check.sh', () => {
  const ours = { ms: 2, min_ms: 1.9, max_ms: 2.1, tflops: 300, ok: true };
  const check = {
    ...{ benchmark: 'gpu-check', date: DATE, commit: 'abc1234', gpu: 'Test GPU 3000', driver: '999.1' },
    versions: { torch: '2.0', triton: null },
    encoder: result('encoder', [encoder({ device: 'cuda:0', ms: 12, min_ms: 11, max_ms: 13 })], onGpu),
    attention: {
      ...{ benchmark: 'attention', torch: '2.0', gemm_tflops: [590, 610] },
      cases: [
        {
          ...{ case: '64x64 none', ours },
          peers: {
            flex: { ms: 3, min_ms: 2.9, max_ms: 3.1, tflops: 200 },
            'sdpa a': { ms: 1, min_ms: 0.9, max_ms: 1.1, tflops: 600, ok: false },
            eager: { skipped: 'out of memory' },
          },
          ratios: { flex: { peer: 'flex', ratio: 1.5 }, sdpa: { peer: 'sdpa a', ratio: 0.5 } },
        },
        { case: '64x64 rel', ours: { failed: 'launch' }, peers: {} },
        { case: '64x64 window', ours: { ...ours, ok: false }, peers: {} },
      ],
    },
  };

  it('counts as a measurement on a GPU, with PyTorch beside ours', () => {
    folder.save(`${DATE}-test-gpu-3000.json`, check);
    const { page, charts } = folder.pageOf({ encoder: result('encoder', [encoder()]) });
    expect(page).not.toMatch(/nothing has been measured on a GPU/i);
    expect(rowWith(page, 'GPU')[1]).toBe(`Test GPU 3000: driver 999.1, torch 2.0, commit abc1234, ${DATE}`);
    expect(rowWith(page, '64x64 none')).toEqual([
      ...['64x64 none', '2.00 ms (1.90 … 2.10)', '300', '50 %', '1.50×, ba-sam faster (flex)'],
      '0.50×, ba-sam slower (sdpa a, which disagrees with float64)',
    ]);
    expect(page).toContain(
      '- Left out: 64x64 rel: launch\n- Left out: 64x64 window: its output disagrees with float64',
    );
    expect(rowWith(page, '12.0 ms (11.0 … 13.0)')).toBeDefined();
    expect(charts).toEqual(['performance/scaling.svg', 'performance/scaling-test-gpu-3000.svg']);
  });

  it('gives way to the benchmark itself, and is checked as well', () => {
    folder.save(`${DATE}-test-gpu-3000.json`, check);
    const own = result('encoder', [encoder({ device: 'cuda:0', ms: 34, min_ms: 33, max_ms: 35 })], onGpu);
    const { page } = folder.pageOf({ 'encoder-test-gpu-3000': own });
    expect(page).toContain('34.0 ms (33.0 … 35.0)');
    expect(page).not.toContain('12.0 ms');
    expect(rowWith(page, 'GPU')[1]).toMatch(/driver for CUDA 13\.1.*; driver 999\.1/);
    expect(rowWith(page, 'CPU')[1]).toBe('nothing has been measured on a CPU yet');
    folder.save(`${DATE}-test-gpu-3000.json`, {
      ...check,
      attention: { ...check.attention, gemm_tflops: [] },
    });
    expect(() => folder.read()).toThrow(/test-gpu-3000\.json: attention\.gemm_tflops/);
  });
});
