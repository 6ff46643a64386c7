// The tool as a whole: help, version, unknown words, start-up, closed pipes, interrupts, terminals.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { spawnBaSam as baSam, DEMO, MAIN, POINT, ROOT, refused, residentMB, temporaryFolder } from './run';

const folder = temporaryFolder();
const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string };

describe('help and version', () => {
  it.each([['--version'], ['-V']])('%s prints the version', async (flag) => {
    expect(await baSam([flag])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });

  it.each([
    ['--help', ['info', 'encode', 'segment']],
    ['info --help', ['--json']],
    [
      'encode --help',
      [
        ...['--output', '--model', '--longest-side', '--no-pad', '--device', '--dtype', '--length-scale'],
        ...['--distance', '--slopes', '--start', '--mode'],
      ],
    ],
    [
      'segment --help',
      [
        ...[
          '--point',
          '--box',
          '--mask-input',
          '--multimask',
          '--output',
          '--overlay',
          '--json',
          '--low-res',
        ],
        ...['--embedding', '--model', '--longest-side', '--no-pad', '--device', '--dtype', '--length-scale'],
        ...['--distance', '--slopes', '--start', '--mode'],
      ],
    ],
  ])('%s names everything', async (args, words) => {
    const { status, stdout, stderr } = await baSam(args.split(' '));
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const word of words) expect(stdout).toContain(word);
  });

  it('loads neither images, validation nor native code for --version', () => {
    const script = `
      process.argv = ['node', 'ba-sam', '--version'];
      process.on('exit', () => console.log(Object.keys(require.cache).join('\\n')));
      require(${JSON.stringify(MAIN)});`;
    const loaded = execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' });
    expect(loaded).toContain('commander');
    expect(loaded).not.toMatch(/\.node$|node_modules\/(sharp|zod|yauzl|cli-progress)\//m);
  });
});

describe('unknown words', () => {
  it.each([
    [[], /Expected a command: info, encode, segment, evaluate or bench/],
    [['--'], /Expected a command|too many/],
    [['train'], /unknown command 'train'/],
    [['--colour'], /unknown option '--colour'/],
    [['info', '--colour'], /unknown option '--colour'/],
    [['info', 'a', 'b'], /too many arguments/],
    [['encode'], /missing required argument 'in'|required option/],
    [['segment'], /missing required argument 'image'|required option/],
    [['encode', 'a.png'], /required option '-o, --output <file>' not specified/],
    [['segment', 'a.png', '--point', '1,1'], /Expected an output but received none/],
    [['encode', 'a.png', '-o'], /argument missing/],
    [['segment', 'a.png', '-o', 'm.png', '--point'], /argument missing/],
    [['segment', 'a.png', 'b.png', '-o', 'm.png', '--point', '1,1'], /too many arguments/],
    [['segment', 'a.png', '-o', 'm.png', '--poin', '1,1'], /unknown option '--poin' .*--point/],
    [['segment', '', '-o', 'm.png', '--point', '1,1'], /Expected the path of a file for IMAGE/],
  ] as [string[], RegExp][])('%j', (args, message) => refused(args, message, folder));
});

describe('streams', () => {
  it.each(['stdout', 'stderr'] as const)('survives a closed %s', (name) => {
    const args = name === 'stdout' ? 'info' : 'segment nothing.png -o m.png';
    const redirect = name === 'stdout' ? '' : '2>&1 >/dev/null ';
    // The reader is gone before the tool starts to write.
    const command = `{ sleep 0.3; "$0" "$1" ${args}; echo "status $?" >&3; } ${redirect}| true`;
    const { output } = spawnSync('bash', ['-c', command, process.execPath, MAIN], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    expect(output[3]).toBe(`status ${name === 'stdout' ? 0 : 2}\n`);
    expect(output[2]).toBe('');
  });

  const fullDevice = existsSync('/dev/full');
  it.skipIf(!fullDevice)('says in one line that stdout is full', () => {
    const { status, stderr } = spawnSync('sh', ['-c', '"$0" "$1" info > /dev/full', process.execPath, MAIN], {
      encoding: 'utf8',
    });
    expect(stderr).toMatch(/^ba-sam: Cannot write to stdout: [^\n]+\n$/);
    expect(status).toBe(2);
  });

  it.skipIf(!fullDevice)('keeps its exit code when stderr is full', () => {
    const command = '"$0" "$1" nonsense 2> /dev/full';
    expect(spawnSync('sh', ['-c', command, process.execPath, MAIN]).status).toBe(2);
  });

  // util-linux's script gives the tool a terminal.
  const hasScript = spawnSync('script', ['--version']).status === 0;
  it.skipIf(!hasScript)('shows progress and what it wrote on a terminal', () => {
    const quoted = [process.execPath, MAIN, 'segment', DEMO, ...POINT, '-o', 'terminal.png'].join(' ');
    const { stdout, status } = spawnSync('script', ['-qec', quoted, '/dev/null'], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect(status).toBe(0);
    for (const stage of ['load', 'encode', 'predict']) {
      expect(stdout).toMatch(new RegExp(`${stage} +\\[.*\\] \\d+% \\d+s`));
    }
    expect(stdout).toContain('100%');
    expect(stdout).toContain('wrote terminal.png');
    // The cursor is shown again.
    expect(stdout.lastIndexOf('\u001b[?25h')).toBeGreaterThan(stdout.lastIndexOf('\u001b[?25l'));
  });
});

describe('interrupts', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s ends the work with exit code %i and leaves no file', async (signal, expected) => {
    const place = temporaryFolder();
    // An older file must survive as it was.
    writeFileSync(path.join(place, 'mask.png'), 'older');
    let killed = false;
    const result = await baSam(
      [
        ...['segment', DEMO, ...POINT, '--longest-side', '4096', '--embedding', 'e.safetensors'],
        ...['-o', 'mask.png', '--json', 'mask.json'],
      ],
      {
        cwd: place,
        started: (child) => {
          // 4096 px are 200 MB of pixel values alone: with more than this, the encode is going on.
          const timer = setInterval(() => {
            if (!(residentMB(child.pid!) > 400) || killed) return;
            killed = true;
            child.kill(signal);
          }, 20);
          child.on('close', () => clearInterval(timer));
        },
      },
    );
    expect(result).toEqual({ status: expected, stdout: '', stderr: 'ba-sam: interrupted\n' });
    expect(killed).toBe(true);
    expect(readdirSync(place)).toEqual(['mask.png']);
    expect(readFileSync(path.join(place, 'mask.png'), 'utf8')).toBe('older');
  });
});

it('runs as a program of its own', () => {
  // npm links the file itself: it needs its first line.
  expect(readFileSync(MAIN, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
});

// A worker that ends without its files would show as a hanging process.
it('ends by itself when stdin stays open', async () => {
  const child = spawn(process.execPath, [MAIN, 'info'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const status = await new Promise((resolve) => child.on('close', resolve));
  expect(status).toBe(0);
});
