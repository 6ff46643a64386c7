// Text in pictures, wherever there are no fonts.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import path from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { lineChart } from '../../../lib/eval/chart';
import { renderSvg } from '../../../lib/eval/render-svg';
import { twoLines } from './two-lines';

const ROOT = path.join(__dirname, '..', '..', '..');

/** Dark pixels of a text, as a picture of # and space without empty lines and columns. */
async function glyphs(text: string, weight = 'normal'): Promise<string> {
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="24"><rect width="60" height="24" fill="#fff"/>' +
    `<text x="4" y="18" font-family="DejaVu Sans" font-size="14" font-weight="${weight}">${text}</text></svg>`;
  const { data, info } = await sharp(await renderSvg(svg, 2))
    .trim()
    .flatten()
    .toColourspace('b-w')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const rows = Array.from({ length: info.height }, (_, y) =>
    [...data.subarray(y * info.width, (y + 1) * info.width)].map((v) => (v < 128 ? '#' : ' ')).join(''),
  );
  return rows.join('\n');
}

describe('renderSvg', () => {
  it('draws every character of a chart as itself, and bold bolder', async () => {
    const characters = [...'0123456789.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ↑↓–·+%ßéЖλ'];
    const missing = await glyphs('\ue000');
    const drawn = await Promise.all(characters.map((character) => glyphs(character)));
    // A box for each, or nothing, is what comes without a font.
    expect(new Set(drawn).size).toBeGreaterThan(characters.length - 6);
    for (const [i, character] of characters.entries()) {
      expect({ character, dark: drawn[i]!.includes('#') }).toEqual({ character, dark: true });
      expect(drawn[i]).not.toBe(missing);
    }
    const ink = (text: string) => text.split('#').length;
    expect(ink(await glyphs('max F', 'bold'))).toBeGreaterThan(1.2 * ink(await glyphs('max F')));
  });

  it('gives the same pixels where there is no font at all', async () => {
    const svg = lineChart({ ...twoLines, title: 'Discs · gt-box' });
    const script = `require('jiti')(process.cwd())('./lib/eval/render-svg.ts').renderSvg(process.argv[1], 2)
      .then((png) => console.log(require('node:crypto').createHash('sha256').update(png).digest('hex')))`;
    const without = execFileSync(process.execPath, ['-e', script, svg], {
      cwd: ROOT,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, FONTCONFIG_FILE: '/dev/null', HOME: '/nowhere' },
    });
    const here = createHash('sha256')
      .update(await renderSvg(svg, 2))
      .digest('hex');
    expect(without.trim()).toBe(here);
  });

  it('is drawn on white, at the scale that was asked for', async () => {
    const svg = lineChart({ title: 'T', xLabel: 'x', panels: [] });
    const { width, height } = await sharp(Buffer.from(svg)).metadata();
    const { data, info } = await sharp(await renderSvg(svg, 2))
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([2 * width!, 2 * height!]);
    expect([...data.subarray(0, info.channels)].slice(0, 3)).toEqual([255, 255, 255]);
  });
});
