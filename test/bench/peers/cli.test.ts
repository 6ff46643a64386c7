// `npm run bench:peers` as its users start it, on a machine without peers and with a Python that only pretends.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildLibrary } from '../../support/library';
import { lives, scratch } from './helpers';

const SCRIPT = path.join(__dirname, '../../../bench/peers.mts');

/** Answers like a Python with the packages, makes files, and works as PyTorch; `missing`, `broken` and `hang` change that. */
function fakePython(
  folder: string,
  what: { missing?: string; broken?: string; hang?: boolean } = {},
): string {
  const file = path.join(folder, 'python');
  writeFileSync(
    file,
    `#!${process.execPath}
const fs = require('node:fs'), path = require('node:path');
const what = ${JSON.stringify(what)};
const [script, ...rest] = process.argv.slice(2);
const name = path.basename(script);
fs.appendFileSync(${JSON.stringify(path.join(folder, 'log'))}, name + ' ' + rest.join(' ') + '\\n');
if (script === '-c') console.log(what.missing ?? '');
else if (name === 'export.py') {
  if (what.broken) { console.error(what.broken); process.exit(1); }
  const [, cache, , model, , sizes] = rest;
  const format = Number(/^FORMAT = (.*)$/m.exec(fs.readFileSync(script, 'utf8'))[1]);
  for (const size of sizes.split(',')) {
    fs.mkdirSync(path.join(cache, model, size), { recursive: true });
    fs.writeFileSync(path.join(cache, model, size, 'made.json'), JSON.stringify({ format }));
    console.log('making ' + size);
  }
} else {
  const job = JSON.parse(rest[0]);
  if (what.hang && job.attention === 'eager') { console.log('x'); setTimeout(() => {}, 20_000); fs.writeFileSync(${JSON.stringify(path.join(folder, 'pid'))}, String(process.pid)); }
  else {
    fs.writeFileSync(job.out, new Uint8Array(new Float32Array(256 * (job.size / 16) ** 2).fill(1).buffer));
    const threads = Number(process.env.OMP_NUM_THREADS) + 10 * job.threads;
    console.log(JSON.stringify({ load_s: 1, first_ms: 9, runs_ms: Array(job.runs).fill(threads), peak_rss_mb: 7, versions: { torch: '3' } }));
  }
}
`,
  );
  chmodSync(file, 0o755);
  return file;
}

async function bench(...args: string[]) {
  buildLibrary();
  const child = spawn(process.execPath, ['--import', 'jiti/register', SCRIPT, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return { child, ended: outcome(child) };
}

async function outcome(child: ChildProcess) {
  const text = { stdout: '', stderr: '' };
  child.stdout!.on('data', (data) => (text.stdout += data));
  child.stderr!.on('data', (data) => (text.stderr += data));
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { status, ...text };
}

const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'));

function places() {
  const folder = scratch();
  mkdirSync(path.join(folder, 'empty'));
  const place = {
    folder,
    result: path.join(folder, 'r.json'),
    cache: path.join(folder, 'cache'),
    log: () => readFileSync(path.join(folder, 'log'), 'utf8').trimEnd().split('\n'),
  };
  const args = ['--json', place.result, '--cache', place.cache, '--node-modules', path.join(folder, 'empty')];
  return { ...place, args: [...args, '--sizes', '64', '--rounds', '2', '--runs', '2', '--threads', '3'] };
}

describe('bench:peers', () => {
  it('refuses bad options before any work', async () => {
    const { ended } = await bench('--threads', '0');
    const { status, stderr } = await ended;
    expect(status).toBe(2);
    expect(stderr).toBe('Expected integer between 1 and 1024 for --threads but received 0\n');
  });

  it('skips every peer by name where none is installed', async () => {
    const { args, result, cache } = places();
    const { status, stderr } = await (await bench(...args, '--python', '/none/python')).ended;
    expect(status).toBe(1); // nothing was measured
    const { rows, ...head } = json(result);
    expect(head).toMatchObject({ benchmark: 'peers', complete: true, machine: { threads: 3 } });
    const noPython = 'Python cannot be started (--python)';
    const reasons = rows.map(
      (row: Record<string, string>) => `${row.peer} ${row.dtype} ${row.status}: ${row.reason}`,
    );
    expect(reasons).toEqual([
      `PyTorch SDPA f32 skipped: ${noPython}`,
      `PyTorch eager f32 skipped: ${noPython}`,
      'onnxruntime-node f32 skipped: not installed: onnxruntime-node (--node-modules)',
      `ba-sam f32 skipped: its weights and ONNX files cannot be made: ${noPython}`,
      'transformers.js f32 skipped: not installed: @huggingface/transformers (--node-modules)',
      `PyTorch SDPA bf16 skipped: ${noPython}`,
      `PyTorch eager bf16 skipped: ${noPython}`,
      `ba-sam bf16 skipped: its weights and ONNX files cannot be made: ${noPython}`,
    ]);
    expect(stderr).toContain(`64 px: ${reasons[2].replace(' skipped', ' skipped')}`);
    expect(readdirSync(cache)).toEqual([]);
  });

  it('names the packages that Python lacks', async () => {
    const { args, result, folder } = places();
    const python = fakePython(folder, { missing: 'torch,transformers' });
    await (await bench(...args, '--python', python, '--peers', 'PyTorch SDPA')).ended;
    expect(json(result).rows[0]).toMatchObject({
      status: 'skipped',
      reason: 'not installed for Python: torch, transformers (--python)',
    });
  });

  it('makes files once, takes turns with the same number of threads, and writes the result', async () => {
    const { args, result, cache, folder, log } = places();
    const options = [...args, '--python', fakePython(folder), '--peers', 'PyTorch SDPA,PyTorch eager'];
    const { status, stdout, stderr } = await (await bench(...options)).ended;
    expect(stderr).toContain('making 1024\nmaking 64\n');
    expect(stderr).toContain('64 px, round 2 of 2: PyTorch eager bf16 33, 33 ms, 7 MB, difference 0.0');
    expect(status).toBe(0);
    expect(stdout).toContain('PyTorch eager');
    const { rows, ...head } = json(result);
    expect(head).toMatchObject({ complete: true, rounds: 2, runs_per_turn: 2, limits: { timeout_s: 1800 } });
    expect(head.machine.isa).toBeTypeOf('string');
    expect(rows).toHaveLength(4);
    expect(rows[0]).toEqual({
      ...{
        peer: 'PyTorch SDPA',
        dtype: 'f32',
        model: 'vit-b',
        size: 64,
        status: 'ok',
        ms: 33,
        min_ms: 33,
        max_ms: 33,
      },
      ...{ runs_ms: [33, 33, 33, 33], load_s: 1, first_ms: 9, peak_rss_mb: 7, difference: 0 },
      ...{ reference: 'PyTorch SDPA f32', turns: 2, versions: { torch: '3' } },
    });
    expect(readdirSync(cache)).toEqual(['vit-b']);

    // A second run finds the files; files of another format it makes anew.
    const exports = () => log().filter((line) => line.startsWith('export.py'));
    await (await bench(...options)).ended;
    expect(exports()).toHaveLength(1);
    writeFileSync(path.join(cache, 'vit-b', '64', 'made.json'), '{"format": 0}');
    await (await bench(...options)).ended;
    expect(exports().at(-1)).toBe(`export.py --cache ${cache} --model vit-b --sizes 64`);
  });

  it('says why the files of a size cannot be made', async () => {
    const { args, result, folder } = places();
    const python = fakePython(folder, { broken: 'RuntimeError: no such operator' });
    const { status } = await (await bench(...args, '--python', python, '--peers', 'ba-sam')).ended;
    expect(status).toBe(1);
    for (const row of json(result).rows) {
      expect(row).toMatchObject({ status: 'failed', reason: 'export.py: RuntimeError: no such operator' });
    }
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('ends its child on %s and keeps what it has', async (signal, expected) => {
    const { args, result, cache, folder } = places();
    const options = [
      ...args,
      '--python',
      fakePython(folder, { hang: true }),
      '--peers',
      'PyTorch SDPA,PyTorch eager',
    ];
    const { child, ended } = await bench(...options);
    const pidFile = path.join(folder, 'pid');
    await expect.poll(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8') !== '').toBe(true);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    expect(lives(pid)).toBe(true);
    child.kill(signal);
    expect((await ended).status).toBe(expected);
    expect(lives(pid)).toBe(false);
    const { complete, rows } = json(result);
    expect(complete).toBe(false);
    expect(rows.map((row: Record<string, string>) => row.status)).toEqual(['ok', 'skipped']);
    expect(readdirSync(cache)).toEqual(['vit-b']);
  });
});
