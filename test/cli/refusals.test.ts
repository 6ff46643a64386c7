// Arguments and outputs that must be refused: exit code 2, one clear line, no stack trace, no file left behind.
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, linkSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { DEMO, MAIN, POINT, ROOT, refused, temporaryFolder } from './run';

const folder = temporaryFolder();
const OUT = ['-o', 'new.png'];

/** Refused by `segment` with a good image, prompt and output beside `args`. */
const segment = (args: readonly string[], message: RegExp) =>
  refused(['segment', DEMO, ...POINT, ...OUT, ...args], message, folder);
const encode = (args: readonly string[], message: RegExp) =>
  refused(['encode', DEMO, '-o', 'new.safetensors', ...args], message, folder);

describe('prompts', () => {
  it.concurrent.each([
    [[], /Expected a prompt but received none/],
    [['--multimask'], /Expected a prompt but received none/],
    [['--point', '769,3'], /inside the image of 768 × 576 px for --point but received 769,3/],
    [['--point', '-5,3'], /inside the image of 768 × 576 px for --point but received -5,3/],
    [['--point=-5,3'], /inside the image .* -5,3/],
    [['--point', '5,576.6,0'], /inside the image .* 5,576\.6/],
    [['--box', '-0.5,0,-0.1,9'], /inside the image of 768 × 576 px for --box but received -0\.5,0,-0\.1,9/],
    [['--box', '-1,0,10,10'], /inside the image .* for --box but received -1,0,10,10/],
    [['--box', '10,10,2000,20'], /inside the image .* for --box but received 10,10,2000,20/],
    [['--box', '20,10,10,30'], /Expected X0 < X1 and Y0 < Y1 for --box but received "20,10,10,30"/],
    [['--box', '10,30,20,10'], /Expected X0 < X1 and Y0 < Y1/],
    [['--box', '10,10,10,30'], /Expected X0 < X1 and Y0 < Y1/],
    [['--box', '1,2,3'], /Expected 4 numbers .* for --box but received "1,2,3"/],
    [['--point', '1'], /Expected 2 to 3 numbers .* for --point but received "1"/],
    [['--point', '1,2,1,4'], /Expected 2 to 3 numbers/],
    [['--point', '1,2,2'], /Expected label 0 or 1 for --point but received "1,2,2"/],
    [['--point', '1,2,-1'], /Expected label 0 or 1/],
    [['--point', '12abc,3'], /Expected a number for --point but received "12abc"/],
    [['--point', '1e999,3'], /Expected a number/],
    [['--point', ',3'], /Expected a number for --point but received ""/],
    [['--point', 'NaN,3'], /Expected a number/],
    [['--point', '0x10,3'], /Expected a number/],
    [['--point', 'Infinity,3'], /Expected a number/],
    [['--point', '1 3'], /Expected 2 to 3 numbers/],
    [['--point', '1, 3 4'], /Expected a number for --point but received "3 4"/],
    [['--point', ''], /Expected 2 to 3 numbers/],
    [['--point', '--multimask'], /for --point but received "--multimask"/],
    [['--point', '1,1', '--box', '1,1,9,9', '--box', '2,2,8,8'], /Expected no --point together with 2 boxes/],
  ] as [string[], RegExp][])('%j', (args, message) =>
    refused(['segment', DEMO, ...OUT, ...args], message, folder),
  );
});

it('without anything to write', () =>
  refused(
    ['segment', DEMO, ...POINT, '--embedding', 'e.safetensors'],
    /Expected an output but received none: give --output, --overlay, --json or --low-res/,
    folder,
  ));

describe('sizes', () => {
  const wide = path.join(folder, 'wide.png');
  beforeAll(async () => {
    const create = { width: 17_000, height: 8, channels: 3, background: 'white' } as const;
    await sharp({ create }).png().toFile(wide);
  });

  it.each([
    [['-o', 'new.webp'], /at most 16383 px for new\.webp, as WebP has them, but received 17000 × 8 px/],
    [['-o', 'new.png', '--overlay', 'new.webp'], /at most 16383 px for new\.webp/],
    [['-o', 'new.png', '--limit-input-pixels', '135999'], /17000 × 8 px exceeds limitInputPixels \(135999\)/],
    [
      ['-o', 'new.png', '--limit-input-pixels', '0'],
      /between 1 and 9007199254740991 for --limit-input-pixels/,
    ],
  ] as [string[], RegExp][])('%j', (args, message) =>
    refused(['segment', wide, '--point', '1,1', ...args], message, folder),
  );
});

describe('settings', () => {
  it.concurrent.each([
    [['--longest-side', '0'], /Expected integer between 1 and 16384 for --longest-side but received "0"/],
    [['--longest-side', '-256'], /Expected integer between 1 and 16384/],
    [['--longest-side', '1.5'], /Expected integer between 1 and 16384/],
    [['--longest-side', '1e3'], /Expected integer between 1 and 16384/],
    [['--longest-side', '16385'], /Expected integer between 1 and 16384/],
    [['--longest-side', '99999999999999999999'], /Expected integer between 1 and 16384/],
    [['--longest-side', '256px'], /Expected integer between 1 and 16384/],
    [['--longest-side', ''], /Expected integer between 1 and 16384/],
    [['--device', 'tpu'], /Expected auto, cpu, cuda or cuda:<index> for --device but received "tpu"/],
    [['--device', 'cuda:x'], /Expected auto, cpu, cuda/],
    [['--device', 'CPU'], /Expected auto, cpu, cuda/],
    [['--dtype', 'fp16'], /Expected one of f32, bf16, f16 for --dtype but received "fp16"/],
    [['--dtype', 'f16', '--device', 'cpu'], /f16/],
    [['--tf32', '--device', 'cpu'], /no tf32 on the CPU/],
    [['--tf32', '--dtype', 'bf16'], /no tf32 together with dtype bf16/],
    [
      ['--distance', 'cosine'],
      /Expected one of manhattan, euclidean, chebyshev for --distance but received "cosine"/,
    ],
    [['--distance', 'none'], /Expected one of manhattan/],
    [['--mode', 'fast'], /Expected one of paper, released-code for --mode but received "fast"/],
    [['--slopes', '0.1'], /Expected --distance together with --slopes/],
    [['--slopes', 'alibi'], /Expected --distance together with --slopes/],
    [['--start', '1'], /Expected --distance together with --start/],
    [
      ['--distance', 'manhattan', '--slopes', '-0.1'],
      /Expected a number between 0 and 1e30 for --slopes but received "-0\.1"/,
    ],
    [
      ['--distance', 'manhattan', '--slopes', '0.1,-0.1,0.2'],
      /Expected a number between 0 and 1e30 for --slopes/,
    ],
    [['--distance', 'manhattan', '--slopes', '0.1,0.2'], /Expected 1 or 3 slopes .* received 2/],
    [['--distance', 'manhattan', '--slopes', '0.1,0.2,0.3,0.4'], /Expected 1 or 3 slopes .* received 4/],
    [['--distance', 'manhattan', '--slopes', '0.1,,0.2'], /Expected a number for --slopes but received ""/],
    [['--distance', 'manhattan', '--slopes', 'steep'], /Expected a number for --slopes but received "steep"/],
    [['--distance', 'manhattan', '--start', '-1'], /Expected a number between 0 and 1e30 for --start/],
    [['--distance', 'manhattan', '--start', 'NaN'], /Expected a number for --start/],
    [
      ['--mode', 'released-code', '--distance', 'manhattan', '--longest-side', '1024'],
      /Expected no --distance together with --mode released-code/,
    ],
    [['--mode', 'released-code'], /longest side of at least 1024 px in mode released-code but received 256/],
    [['--model', ''], /Expected the path of a file for --model/],
  ] as [string[], RegExp][])('%j', async (args, message) => {
    await segment(args, message);
    await encode(args, message);
  });
});

describe('outputs', () => {
  beforeAll(() => {
    mkdirSync(path.join(folder, 'folder.png'));
    mkdirSync(path.join(folder, 'folder.safetensors'));
    copyFileSync(DEMO, path.join(folder, 'photo.png'));
    copyFileSync(path.join(ROOT, 'models', 'sam-nano.safetensors'), path.join(folder, 'model.safetensors'));
    linkSync(path.join(folder, 'photo.png'), path.join(folder, 'hard.png'));
    symlinkSync('photo.png', path.join(folder, 'soft.png'));
    symlinkSync('.', path.join(folder, 'here'));
    execFileSync('mkfifo', [path.join(folder, 'pipe.png')]);
  });

  it.concurrent.each([
    [['-o', 'missing/m.png'], /Cannot write missing\/m\.png: the directory missing does not exist/],
    [['-o', 'photo.png/m.png'], /Cannot write photo\.png\/m\.png: .*not a directory/],
    [['-o', 'folder.png'], /Cannot write folder\.png: it is a directory/],
    [['-o', 'pipe.png'], /Cannot write pipe\.png: it is not a regular file/],
    [['-o', 'mask.bmp'], /Expected path that ends in \.png or \.webp for --output but received "mask\.bmp"/],
    [['-o', 'mask'], /Expected path that ends in/],
    [['-o', 'mask.jpg'], /Expected path that ends in \.png or \.webp/],
    [['-o', ''], /Expected the path of a file for --output/],
    [['--overlay', 'o.svg'], /ends in \.png, \.jpg, \.jpeg or \.webp for --overlay/],
    [['--overlay', 'missing/o.png'], /Cannot write missing\/o\.png/],
    [['--json', 'missing/o.json'], /Cannot write missing\/o\.json/],
    [['--json', 'o.txt'], /ends in \.json for --json but received "o\.txt"/],
    [['--low-res', 'missing/l.safetensors'], /Cannot write missing\/l\.safetensors/],
    [['--low-res', 'l.npy'], /ends in \.safetensors for --low-res/],
    [['--embedding', 'missing/e.safetensors'], /Cannot write missing\/e\.safetensors/],
    [['--embedding', 'e.bin'], /ends in \.safetensors for --embedding/],
    [['-o', 'a.png', '--overlay', 'a.png'], /Expected different files for --output and --overlay/],
    [['-o', 'a.png', '--overlay', './here/a.png'], /Expected different files for --output and --overlay/],
    [
      ['--low-res', 'a.safetensors', '--embedding', 'a.safetensors'],
      /Expected different files for --low-res and --embedding/,
    ],
    [
      ['--model', 'model.safetensors', '--low-res', 'model.safetensors'],
      /Expected different files for --model and --low-res/,
    ],
  ] as [string[], RegExp][])('%j', segment);

  it.concurrent.each(['photo.png', './photo.png', 'here/photo.png', 'hard.png', 'soft.png'])(
    'the image as %s',
    (file) =>
      refused(
        ['segment', 'photo.png', ...POINT, '-o', file],
        /Expected different files for IMAGE and --output/,
        folder,
      ),
  );

  it.concurrent.each([
    [['-o', 'folder.safetensors'], /Cannot write folder\.safetensors: it is a directory/],
    [['-o', 'missing/e.safetensors'], /the directory missing does not exist/],
    [['-o', 'e.png'], /ends in \.safetensors for --output but received "e\.png"/],
    [
      ['--model', 'model.safetensors', '-o', 'model.safetensors'],
      /Expected different files for --model and --output/,
    ],
  ] as [string[], RegExp][])('encode %j', (args, message) =>
    refused(['encode', DEMO, ...args], message, folder),
  );
});

it('a disk that fills up leaves nothing behind', async () => {
  const empty = temporaryFolder();
  // No file may grow beyond 8 KiB: the mask fits, the embedding does not.
  const command = `trap '' XFSZ; ulimit -f 8; exec "$0" "$@"`;
  const args = [MAIN, 'segment', DEMO, ...POINT, '-o', 'm.png', '--embedding', 'e.safetensors'];
  const { status, stderr } = spawnSync('bash', ['-c', command, process.execPath, ...args], {
    cwd: empty,
    encoding: 'utf8',
  });
  expect(stderr).toMatch(/^ba-sam: Cannot write e\.safetensors: the file would be larger than allowed\n$/);
  expect({ status, files: readdirSync(empty) }).toEqual({ status: 2, files: [] });
});
