// Odd names, odd images, odd places: what a shell, a camera or another process may come up with.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { decodeRle } from '../../lib/image/rle';
import { baSam, DEMO, place, quiet, residentMB, temporaryFolder } from './run';

const folder = temporaryFolder();
const at = (name: string) => path.join(folder, name);
const quick = ['--longest-side', '48'];

beforeAll(async () => {
  place(folder, 'small.png', await sharp(DEMO).resize(96, 72).png().toBuffer());
});

/** The mask of a report with one prompt; the mask file must be the same. */
async function agree(mask: string, json: string): Promise<{ width: number; height: number }> {
  const { image, masks } = JSON.parse(readFileSync(json, 'utf8'));
  expect(masks.length).toBe(1);
  const { data, info } = await sharp(mask).extractChannel(0).raw().toBuffer({ resolveWithObject: true });
  expect(info).toMatchObject({ ...image, channels: 1 });
  expect(data.every((value) => value === 0 || value === 255)).toBe(true);
  expect(Buffer.from(decodeRle(masks[0].rle)).equals(data.map((value) => value & 1))).toBe(true);
  return image;
}

it('takes any name, and leaves the permissions of a replaced file', async () => {
  const image = '-a b\n\u00fc\u65e5.png';
  copyFileSync(at('small.png'), at(image));
  writeFileSync(at('old.json'), 'old');
  chmodSync(at('old.json'), 0o600);
  // As long as a file system takes it: 254 bytes.
  const mask = `-${'\u65e5'.repeat(83)}.png`;
  await quiet(['segment', '--point', '30,25', ...quick, '-o', mask, '--json', 'old.json', '--', image], {
    cwd: folder,
  });
  await agree(at(mask), at('old.json'));
  expect(statSync(at('old.json')).mode & 0o777).toBe(0o600);
});

it.each([
  ['1 × 1 px', 1, 1, 'png'],
  ['1 × 5000 px', 1, 5000, 'png'],
  ['gray', 40, 30, 'gray.jpg'],
  ['CMYK', 40, 30, 'cmyk.jpg'],
])('takes an image: %s', async (_title, width, height, ending) => {
  const file = at(`${width}-${height}.${ending}`);
  let picture = sharp(DEMO).resize(width, height, { fit: 'fill' });
  if (ending.startsWith('gray')) picture = picture.grayscale();
  if (ending.startsWith('cmyk')) picture = picture.toColourspace('cmyk');
  await picture.toFile(file);
  const outputs = ['-o', `${file}.png`, '--json', `${file}.json`];
  await quiet(['segment', file, '--point', `${width},${height}`, ...quick, '--no-pad', ...outputs]);
  expect(await agree(`${file}.png`, `${file}.json`)).toEqual({ width, height });
});

it('--longest-side 16 is one token', async () => {
  const outputs = ['-o', at('one.png'), '--json', at('one.json')];
  await quiet(['segment', at('small.png'), '--point', '9,9', '--longest-side', '16', ...outputs]);
  expect(await agree(at('one.png'), at('one.json'))).toEqual({ width: 96, height: 72 });
});

it('writes complete files, whoever else writes the same ones', async () => {
  const outputs = ['-o', at('race.png'), '--json', at('race.json')];
  await Promise.all(
    ['20,20', '60,20'].map((point) =>
      quiet(['segment', at('small.png'), '--point', point, ...quick, ...outputs]),
    ),
  );
  const { channels } = await sharp(at('race.png')).metadata();
  expect(channels).toBe(1);
  expect(JSON.parse(readFileSync(at('race.json'), 'utf8')).masks.length).toBe(1);
  expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
});

describe('an output that disappears during the run', () => {
  it('leaves no other output behind', async () => {
    const gone = at('gone');
    mkdirSync(gone);
    const overlay = path.join(gone, 'overlay.png');
    const args = ['segment', DEMO, '--point', '200,200', '--longest-side', '2048', '-o', at('first.png')];
    const { status, stdout, stderr } = await baSam([...args, '--overlay', overlay], {
      started: (child) => {
        // With this much memory the encode is going on: outputs were checked before it and are written after it.
        const timer = setInterval(() => {
          if (residentMB(child.pid!) < 250) return;
          clearInterval(timer);
          rmSync(gone, { recursive: true });
        }, 10);
        child.on('close', () => clearInterval(timer));
      },
    });
    expect(stderr).toMatch(/^ba-sam: Cannot write [^\n]*gone\/overlay\.png: [^\n]+\n$/);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(existsSync(at('first.png'))).toBe(false);
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});
