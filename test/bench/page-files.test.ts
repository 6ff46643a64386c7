// Which results the performance page is made from, and which are refused; bench/page.mts; and whether the page in docs/ is
// what bench/results gives.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DATE, decoder, encoder, onGpu, peer, result } from './made-up-results';
import { PageFolder } from './page-folder';

const ROOT = path.join(__dirname, '..', '..');
let folder: PageFolder;
beforeEach(async () => {
  folder = await PageFolder.create();
});
afterEach(() => folder.remove());

describe('result files', () => {
  it('the newest of a kind counts, other files do not', () => {
    folder.save('2020-02-01-bench-encoder.json', result('encoder', [encoder({ ms: 11_000 })]));
    folder.save('2020-02-03-bench-encoder.json', result('encoder', [encoder({ ms: 33_000 })]));
    folder.save('2020-02-09-encoder.json', result('encoder', [encoder()]));
    folder.save('2020-02-09-bench-encoder.json.orig', 'not ours');
    const { encoder: read } = folder.read()!.cpu;
    expect(read).toMatchObject({ file: '2020-02-03-bench-encoder.json', rows: [{ ms: 33_000 }] });
  });

  const cases: [string, string, unknown, RegExp][] = [
    ['truncated', 'encoder', '{"benchmark": "enc', /Cannot read .*-bench-encoder\.json: .*JSON/],
    [
      'of another benchmark',
      'encoder',
      result('decoder', [decoder()]),
      /encoder\.json: benchmark: .*"encoder"/,
    ],
    ['without rows', 'encoder', result('encoder', []), /encoder\.json: rows: /],
    [
      'with a number missing',
      'encoder',
      result('encoder', [encoder(), encoder({ ms: undefined })]),
      /rows\[1\]\.ms: /,
    ],
    ['with NaN', 'encoder', result('encoder', [encoder({ gflops: Number.NaN })]), /rows\[0\]\.gflops: /],
    [
      'with half a rate',
      'decoder',
      result('decoder', [decoder({ gemm_gflops: [1] })]),
      /rows\[0\]\.gemm_gflops/,
    ],
    ['with a row that is none', 'attention', result('attention', [7 as never]), /rows\[0\]: /],
    ['with a failure of nothing', 'encoder', result('encoder', [{ failed: 'x' }]), /rows\[0\]\.model: /],
    [
      'with an unknown status',
      'peers',
      result('peers', [peer('a', { status: 'fine' })]),
      /rows\[0\]\.status: /,
    ],
    ['without a reason', 'peers', result('peers', [peer('a', { status: 'failed' })]), /rows\[0\]\.reason: /],
    [
      'without a machine',
      'peers',
      result('peers', [peer('a')], { machine: {} }),
      /peers\.json: machine\.cpu: /,
    ],
    [
      'with a date of its own',
      'peers',
      result('peers', [peer('a')], { date: 'today' }),
      /peers\.json: date: /,
    ],
    ['of a quick try', 'decoder', result('decoder', [decoder()], { quick: true }), /quick: .*quick try/],
    [
      ...['of a GPU without its name', 'encoder'],
      ...[result('encoder', [encoder({ device: 'cuda:0' })]), /rows\[0\]\.device: .*cuda:0/],
    ] as [string, string, unknown, RegExp],
    [
      ...['of a CPU under the name of a GPU', 'encoder-x'],
      ...[result('encoder', [encoder()], onGpu), /rows\[0\]\.device: .*received cpu/],
    ] as [string, string, unknown, RegExp],
  ];
  it.each(cases)('%s: the error names file and field', (_, name, content, expected) => {
    folder.save(`${DATE}-bench-${name}.json`, content);
    expect(() => folder.read()).toThrow(expected);
  });

  it('none at all gives nothing', () => {
    folder.save('2020-02-09-encoder-f32.json', result('encoder', [encoder()]));
    expect(folder.read()).toBeUndefined();
  });
});

describe('bench/page.mts', () => {
  const run = (...args: string[]) =>
    spawnSync(
      process.execPath,
      ['--import', 'jiti/register', path.join(ROOT, 'bench', 'page.mts'), ...args],
      {
        encoding: 'utf8',
      },
    );
  const here = () => ['--results', folder.path, '--out', path.join(folder.path, 'docs')];

  it('writes what --check accepts, and --check sees every difference', () => {
    folder.save(`${DATE}-bench-encoder.json`, result('encoder', [encoder()]));
    const charts = path.join(folder.path, 'docs', 'performance');
    mkdirSync(charts, { recursive: true });
    writeFileSync(path.join(charts, 'old.svg'), '');
    const missing = run(...here(), '--check');
    expect([missing.status, missing.stderr]).toEqual([
      1,
      expect.stringMatching(
        /performance\.md, performance\/scaling\.svg, performance\/old\.svg .* npm run bench:page/,
      ),
    ]);
    expect(run(...here())).toMatchObject({ status: 0, stderr: '' });
    expect(readdirSync(charts)).toEqual(['scaling.svg']);
    expect(run(...here(), '--check')).toMatchObject({ status: 0, stdout: '', stderr: '' });

    const page = path.join(folder.path, 'docs', 'performance.md');
    writeFileSync(page, readFileSync(page, 'utf8').replace('10.0 s', '9.0 s'));
    expect(run(...here(), '--check')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('performance.md'),
    });
    run(...here());
    folder.save('2020-02-03-bench-encoder.json', result('encoder', [encoder({ ms: 9000, min_ms: 8900 })]));
    expect(run(...here(), '--check').status).toBe(1);
  });

  it('without results: nothing to check, unless there is a page', () => {
    expect(run(...here(), '--check').status).toBe(0);
    mkdirSync(path.join(folder.path, 'docs'));
    writeFileSync(path.join(folder.path, 'docs', 'performance.md'), 'from where?');
    expect(run(...here(), '--check')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('there are no results'),
    });
    expect(run(...here())).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/Expected <date>-bench-<benchmark>\.json in .* but found none/),
    });
  });

  it('refuses what it does not know', () => {
    expect(run('--chekc')).toMatchObject({ status: 2, stderr: expect.stringContaining('--chekc') });
    expect(run('--results', '/none')).toMatchObject({ status: 2, stderr: expect.stringContaining('/none') });
    expect(run('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('--check') });
  });

  it('docs/performance.md is what bench/results gives', () => {
    const { status, stderr } = run('--check');
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });
});
