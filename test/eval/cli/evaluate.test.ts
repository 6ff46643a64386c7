// The command as a shell runs it: several processes, signals, refusals.
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { outcome } from '../../../lib/cli/errors';
import { runEvaluate } from '../../../lib/cli/evaluate';
import type { Texts } from '../../../lib/cli/flags';
import { baSam, refused } from '../../cli/run';
import { drawCoco, drawFolder, temporaryFolder } from '../runner/drawn';

const folder = temporaryFolder();
const work = path.join(folder, 'work');
const FILES = ['results.json', 'results.md', 'chart.svg', 'chart.png'];
const ARGS = [
  ...['evaluate', '--dataset', 'folder', '--root', 'drawn', '--device', 'cpu'],
  ...['--sizes', '256,320', '--attention', 'plain,length-scale+distance', '--metrics', 'mae,f-measure,iou'],
];
const ROWS = 6 * 2 * 2;

let expected: Buffer[];
let stdout: string;

beforeAll(async () => {
  mkdirSync(work);
  await drawFolder(path.join(work, 'drawn'), 6);
  const done = await baSam([...ARGS, '--out', 'whole'], { cwd: work });
  expect(done).toMatchObject({ status: 0 });
  expect(done.stderr.split('\n').slice(0, 1)).toEqual([`folder: 0 of ${ROWS} rows, – rows/s, – left`]);
  expect(done.stderr).toMatch(new RegExp(`^folder: ${ROWS} of ${ROWS} rows, [\\d.]+ rows/s, 0 s left$`, 'm'));
  stdout = done.stdout;
  expected = files('whole');
}, 60_000);

const files = (out: string) => FILES.map((name) => readFileSync(path.join(work, out, name)));
const same = (out: string) => files(out).map((bytes, i) => bytes.equals(expected[i]!));
const allSame = FILES.map(() => true);

/** Rows in a journal, complete ones. */
function journaled(out: string): number {
  try {
    return readFileSync(path.join(work, out, 'journal.jsonl'), 'utf8').split('\n').length - 2;
  } catch {
    return 0;
  }
}

/** Runs until `rows` rows are saved, then does something to the process. */
async function interrupted(out: string, extra: string[], rows: number, act: (child: ChildProcess) => void) {
  return baSam([...ARGS, '--out', out, ...extra], {
    cwd: work,
    started: (child) => {
      const timer = setInterval(() => {
        if (journaled(out) < rows) return;
        clearInterval(timer);
        act(child);
      }, 2);
      child.once('close', () => clearInterval(timer));
    },
  });
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.trim().split(/\s+/).filter(Boolean).map(Number);
}

const alive = (pid: number) => {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

async function resumed(out: string, extra: string[] = []): Promise<void> {
  const before = journaled(out);
  expect(before).toBeGreaterThan(0);
  expect(before).toBeLessThan(ROWS);
  const { status, stderr } = await baSam([...ARGS, '--out', out, '--resume', ...extra], { cwd: work });
  expect(stderr).toMatch(new RegExp(`^folder: ${before} of ${ROWS} rows`));
  expect(status).toBe(0);
  expect(same(out)).toEqual(allSame);
}

describe('results', () => {
  it('are a table on stdout', () => {
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toBe('| size | attention | MAE ↓ | max F ↑ | mean F ↑ | adaptive F ↑ | IoU ↑ |');
    expect(lines.slice(2).map((line) => line.split('|').slice(1, 3).join().replace(/ /g, ''))).toEqual(
      [256, 320].flatMap((size) => ['plain', 'length-scale+distance'].map((name) => `${size},${name}`)),
    );
    expect(readFileSync(path.join(work, 'whole', 'results.md'), 'utf8')).toContain(stdout);
  });

  it('are JSON of a known form', () => {
    const values = z.record(z.string(), z.number().nullable());
    const cell = { size: z.int(), attention: z.enum(['plain', 'length-scale+distance']), values };
    const schema = z.strictObject({
      format: z.literal('ba-sam-results-1'),
      version: z.string().regex(/^\d+\.\d+\.\d+/),
      settings: z.looseObject({
        dataset: z.string(),
        model: z.strictObject({ path: z.string(), sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
        sizes: z.array(z.int()),
        attention: z.record(z.string(), z.looseObject({ mode: z.string() })),
        prompt: z.literal('gt-box'),
      }),
      evaluated: z.literal(6),
      problems: z.array(z.strictObject({ id: z.string(), reason: z.string() })).length(0),
      notes: z.array(z.string()),
      means: z.array(z.strictObject(cell)).length(4),
      rows: z.array(z.strictObject({ id: z.string(), ...cell })).length(ROWS),
    });
    const json = JSON.parse(readFileSync(path.join(work, 'whole', 'results.json'), 'utf8'));
    expect(schema.safeParse(json).error).toBeUndefined();
    expect(json.settings.attention['length-scale+distance'].distance).toEqual({
      metric: 'euclidean',
      slopes: 0.1,
      start: 0,
    });
  });
});

describe('workers', () => {
  it('give the same files as one process', async () => {
    const done = await baSam([...ARGS, '--out', 'shared', '--workers', '3'], { cwd: work });
    expect(done.status).toBe(0);
    expect(done.stdout).toBe(stdout);
    expect(same('shared')).toEqual(allSame);
  });

  it('that crash are named, and what was done is kept', async () => {
    let victim = 0;
    let others: number[] = [];
    const { status, stderr } = await interrupted('crashed', ['--workers', '2'], 5, (child) => {
      [victim, ...others] = childrenOf(child.pid!) as [number, ...number[]];
      process.kill(victim, 'SIGKILL');
    });
    expect(stderr).toMatch(
      /^ba-sam: Worker [12] of 2 \(cpu\) was ended by SIGKILL while it (evaluated p\d|was starting)$/m,
    );
    expect(status).toBe(1);
    expect(others).toHaveLength(1);
    expect(alive(others[0]!)).toBe(false);
    expect(journaled('crashed')).toBeGreaterThanOrEqual(5);
    await resumed('crashed', ['--workers', '2']);
  });

  it('find what cannot be used as one process does', async () => {
    await drawFolder(path.join(work, 'strict'), 2);
    const image = path.join(work, 'strict', 'images', 'p1.png');
    writeFileSync(image, readFileSync(image).subarray(0, 400));
    const args = ARGS.map((arg) => (arg === 'drawn' ? 'strict' : arg));
    const strict = await baSam([...args, '--out', 'strict-out', '--workers', '2', '--strict'], { cwd: work });
    expect(strict).toMatchObject({ status: 2, stdout: '' });
    expect(strict.stderr).toMatch(/^ba-sam: .*p1.*$/m);
  });
});

describe('ends', () => {
  it('by SIGKILL: resuming gives the same files', async () => {
    const { status } = await interrupted('killed', [], 11, (child) => child.kill('SIGKILL'));
    expect(status).toBeNull();
    await resumed('killed');
  });

  it('by SIGKILL with workers: they end, too', async () => {
    let workers: number[] = [];
    await interrupted('killed-workers', ['--workers', '2'], 5, (child) => {
      workers = childrenOf(child.pid!);
      child.kill('SIGKILL');
    });
    expect(workers).toHaveLength(2);
    await expect.poll(() => workers.filter(alive)).toEqual([]);
    await resumed('killed-workers');
  });

  it.each([[[]], [['--workers', '2']]])('by Ctrl-C with %j: exit status 130, and resuming', async (extra) => {
    const out = `interrupted-${extra.length}`;
    const { status, stderr, stdout } = await interrupted(out, extra, 7, (child) => child.kill('SIGINT'));
    expect({ status, stdout }).toEqual({ status: 130, stdout: '' });
    expect(stderr).toMatch(/^ba-sam: interrupted$/m);
    expect(readdirSync(path.join(work, out))).toEqual(['journal.jsonl']);
    await resumed(out);
  });
});

describe('suites', () => {
  it('make one table of several datasets', async () => {
    await drawCoco(path.join(work, 'objects'));
    const config = {
      sizes: [256],
      attention: ['plain', 'length-scale+distance'],
      metrics: ['iou'],
      pad: false,
      normalize: false,
      datasets: [
        { label: 'discs', dataset: 'folder', root: 'drawn', limit: 2 },
        { dataset: 'coco', root: 'objects', split: 'val2017', metrics: ['ap', 'iou'], prompt: 'gt-point' },
      ],
    };
    writeFileSync(path.join(work, 'suite.json'), JSON.stringify(config));
    const args = ['evaluate', '--suite', 'general', '--config', 'suite.json', '--out', 'suite'];
    const done = await baSam([...args, '--attention', 'plain'], { cwd: work });
    expect(done).toMatchObject({ status: 0 });
    const [head, , ...rows] = done.stdout.trimEnd().split('\n');
    // The command line's settings come before the file's.
    expect(head).not.toContain('length-scale+distance');
    expect(head).toMatch(/^\| dataset \| images \| IoU ↑ 256 plain \| AP ↑ 256 plain \|/);
    expect(rows.map((row) => row.split('|')[1]!.trim())).toEqual(['discs', 'coco val2017']);
    expect(rows[0]!.split('|')[4]!.trim()).toBe('–');
    expect(readFileSync(path.join(work, 'suite', 'suite.md'), 'utf8')).toBe(done.stdout);
    const suite = JSON.parse(readFileSync(path.join(work, 'suite', 'suite.json'), 'utf8'));
    const discs = JSON.parse(readFileSync(path.join(work, 'suite', 'discs', 'results.json'), 'utf8'));
    expect(suite.datasets[0].means).toEqual(discs.means);
    expect(discs.means).toHaveLength(1);
    // What the command line does not say is left to the file.
    expect(discs.settings).toMatchObject({ pad: false, metrics: { normalize: false } });

    // As if it had been interrupted during its first dataset.
    rmSync(path.join(work, 'suite', 'coco val2017'), { recursive: true });
    rmSync(path.join(work, 'suite', 'suite.md'));
    const again = await baSam([...args, '--attention', 'plain', '--resume'], { cwd: work });
    expect(again).toMatchObject({ status: 0, stdout: done.stdout });
  });

  it.each([
    ['no JSON', '{"datasets": [', /suite-bad\.json: expected JSON but it cannot be parsed/],
    ['no datasets', '{"datasets": []}', /suite-bad\.json: Expected at least 1 items for suite\.datasets/],
    ['an unknown option', '{"datasets": [{}], "size": 3}', /suite-bad\.json: Expected/],
    ['an unknown dataset', '{"datasets": [{"dataset": "x", "root": "."}]}', /datasets\.0\.dataset/],
    [
      'a dataset that is not there',
      '{"datasets": [{"dataset": "folder", "root": "drawn"}, {"dataset": "duts", "root": "gone", "label": "D"}]}',
      /D: Cannot read .*gone/,
    ],
    [
      'two of one name',
      '{"datasets": [{"dataset": "folder", "root": "drawn"}, {"dataset": "folder", "root": "drawn"}]}',
      /expected another label for datasets\.1 but folder is taken/,
    ],
    [
      'a name that leaves its folder',
      '{"datasets": [{"dataset": "folder", "root": "drawn", "label": "../x"}]}',
      /Expected 1 to 64 letters/,
    ],
    [
      'nothing to resume',
      '{"datasets": [{"dataset": "folder", "root": "drawn"}]}',
      /none of its datasets was begun/,
    ],
  ])('with %s are refused', async (_, text, message) => {
    writeFileSync(path.join(work, 'suite-bad.json'), text);
    const resume = message.source.includes('begun');
    await refusedHere({ suite: 'general', config: path.join(work, 'suite-bad.json'), resume }, message);
  });
});

describe('refusals', () => {
  const single = { dataset: 'folder', root: path.join(work, 'drawn'), sizes: '256' };

  it.each<[Texts, RegExp]>([
    [{}, /Expected --dataset \(dis5k, .*\) or --suite but received neither/],
    [{ dataset: 'folder' }, /Expected --root together with --dataset/],
    [{ dataset: 'imagenet', root: '.' }, /Expected one of dis5k, .* for --dataset/],
    [{ suite: 'general' }, /Expected --config together with --suite/],
    [{ config: 'x.json' }, /Expected --suite together with --config/],
    [{ suite: 'special', config: 'x.json' }, /Expected general for --suite/],
    [{ suite: 'general', config: '/gone.json' }, /Cannot read \/gone\.json: no such file/],
    [{ suite: 'general', config: 'x', root: '.' }, /Expected no --root together/],
    [{ ...single, sizes: '256,-1' }, /Expected integer between 1 and 16384 for --sizes but received "-1"/],
    [{ ...single, sizes: '256,' }, /--sizes but received ""/],
    [{ ...single, sizes: '256,256' }, /Expected no value twice for --sizes/],
    [{ ...single, sizes: '1e3' }, /--sizes but received "1e3"/],
    [{ ...single, metrics: 'iou,accuracy' }, /Expected one of mae, .*, ap for --metrics .*"accuracy"/],
    [{ ...single, attention: 'released-code' }, /Attention released-code at size 256: .* at least 1024 px/],
    [{ ...single, prompt: 'box' }, /Expected one of gt-box, .* for --prompt/],
    [{ ...single, grid: '65' }, /Expected integer between 1 and 64 for --grid/],
    [{ ...single, combine: 'all' }, /Expected one of best, union for --combine/],
    [{ ...single, averageF: 'pixel' }, /Expected one of image, dataset for --average-f/],
    [{ ...single, limit: '0' }, /--limit/],
    [{ ...single, workers: 'many' }, /--workers/],
    [{ ...single, slopes: 'steep' }, /--slopes/],
    [{ ...single, start: '-1' }, /--start/],
    [{ ...single, distance: 'cosine' }, /Expected one of manhattan, euclidean, chebyshev for --distance/],
    [{ ...single, device: 'cpu,gpu' }, /--device/],
    [{ ...single, dtype: 'f64' }, /--dtype/],
    [{ ...single, model: '/gone.pth' }, /gone\.pth/],
    [{ ...single, resume: true }, /Expected an evaluation to resume in .*no but there is no journal\.jsonl/],
  ])('%j', (options, message) => refusedHere(options, message));

  it('are one line with exit status 2', async () => {
    await refused(
      ['evaluate', '--dataset', 'folder', '--root', 'drawn'],
      /required option '--out <dir>'/,
      work,
    );
    const [file, root] = ['drawn/images/p0.png', ['--dataset', 'folder', '--root', 'drawn']];
    await refused(
      ['evaluate', ...root, '--out', file],
      /Cannot write to .*p0\.png: .* is no directory/,
      work,
    );
  });
});

/** Runs the command in this process: it must refuse, in the command line's words, and write nothing. */
async function refusedHere(options: Texts, message: RegExp): Promise<void> {
  const before = readdirSync(work);
  const attempt = runEvaluate(
    { pad: true, normalize: true, out: path.join(work, 'no'), ...options },
    new AbortController().signal,
  );
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(outcome(error)).toEqual({ status: 2, line: expect.stringMatching(message) });
  expect(readdirSync(work)).toEqual(before);
}
