import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import {
  BACKGROUNDS,
  lineChart,
  logTicks,
  niceTicks,
  SERIES_COLORS,
  writeChart,
} from '../../../lib/eval/chart';
import { twoLines } from './two-lines';

/** Renders with librsvg, whose XML parser accepts nothing malformed. */
async function pixels(svg: string): Promise<{ data: Buffer; width: number; height: number }> {
  const { data, info } = await sharp(Buffer.from(svg))
    .flatten({ background: '#ffffff' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

/** Whether a pixel at most `reach` away has about this colour. */
function hasColor(
  { data, width }: { data: Buffer; width: number },
  x: number,
  y: number,
  hex: string,
): boolean {
  const wanted = [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16));
  const at = 3 * (Math.round(y) * width + Math.round(x));
  return wanted.every((value, channel) => Math.abs(data[at + channel]! - value) < 12);
}

const markers = (svg: string) =>
  [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(
    ([, x, y]) => [Number(x), Number(y)] as const,
  );

describe('lineChart', () => {
  it('is drawn as it says: markers where the values are, in their colours', async () => {
    const svg = lineChart(twoLines);
    const image = await pixels(svg);
    // Circles are the first series'; the first of them is the legend's.
    const [, ...points] = markers(svg);
    const [panelX, panelY] = /<g transform="translate\((\d+) (\d+)\)"/.exec(svg)!.slice(1).map(Number);
    expect(points).toHaveLength(3);
    for (const [x, y] of points) {
      expect(hasColor(image, panelX! + x, panelY! + y, SERIES_COLORS[0]!)).toBe(true);
    }
    const [[x0, y0], [x1, y1], [x2, y2]] = points as [[number, number], [number, number], [number, number]];
    // Linear in both axes: 512 lies a third of the way, values fall in equal steps.
    expect((x1 - x0) / (x2 - x0)).toBeCloseTo(1 / 3, 2);
    expect(y1 - y0).toBeCloseTo(y2 - y1, 1);
    expect(y2).toBeGreaterThan(y0);
  });

  it('names axes, ticks and series once', () => {
    const svg = lineChart(twoLines);
    const texts = [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, content]) => content);
    expect(texts).toEqual([
      ...['Discs', 'plain', 'both', 'IoU ↑', '0.70', '0.75', '0.80', '0.85', '0.90'],
      ...['256', '512', '1024', 'longest side, px'],
    ]);
  });

  it('puts equal ratios at equal distances on logarithmic axes', () => {
    const points: [number, number][] = [
      [512, 0.5],
      [1024, 5],
      [2048, 50],
      [4096, 0],
      [8192, Number.NaN],
    ];
    const svg = lineChart({
      title: 'Time',
      xLabel: 'side, px',
      xScale: 'log',
      panels: [{ title: 's', yScale: 'log', series: [{ name: 'ours', points }] }],
    });
    // Zero has no place on the axis.
    const [, ...shown] = markers(svg);
    expect(shown).toHaveLength(3);
    const [[x0, y0], [x1, y1], [x2, y2]] = shown as [[number, number], [number, number], [number, number]];
    expect(x1 - x0).toBeCloseTo(x2 - x1, 1);
    expect(y0 - y1).toBeCloseTo(y1 - y2, 1);
    expect(y0).toBeGreaterThan(y1);
    const texts = [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, content]) => content);
    expect(texts).toEqual([
      ...['Time', 'ours', 's', '0.5', '1', '2', '5', '10', '20', '50'],
      ...['512', '1024', '2048', 'side, px'],
    ]);
  });

  it('leaves out values that are not there', () => {
    const svg = lineChart(twoLines);
    const [line] = [...svg.matchAll(/<path d="M([^"]+)" fill="none"[^>]*stroke="#d5671a"/g)].slice(-1);
    expect(line![1]!.split('L')).toHaveLength(2);
  });

  it('copes with one size, equal values, no values, and many lines', async () => {
    const panel = (title: string, ...lists: [number, number][][]) => ({
      title,
      series: lists.map((points, i) => ({ name: `series ${i}`, points })),
    });
    const panels = [
      panel('one', [[1024, 0.5]]),
      panel('flat', [
        [256, 1],
        [512, 1],
      ]),
      panel('none'),
      panel('zero', [[256, 0]]),
      panel(
        'many',
        ...Array.from({ length: 12 }, (_, i): [number, number][] => [
          [256, i],
          [512, 2 * i],
        ]),
      ),
      panel(
        'dense',
        Array.from({ length: 60 }, (_, i): [number, number] => [1000 + i, i]),
      ),
    ];
    const svg = lineChart({ title: 'odd', xLabel: 'x', panels });
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    const { width, height } = await pixels(svg);
    expect([width, height].every((side) => side < 2000)).toBe(true);
    // Labels of dense ticks do not run into each other.
    expect(svg.match(/>10[0-5]\d<\/text>/g)!.length).toBeLessThan(12);
  });

  it('stays XML whatever the names are', async () => {
    const odd = `<b>&"'\u0000\u001b[31m</b> ]]> é`;
    const svg = lineChart({
      title: odd,
      xLabel: odd,
      panels: [{ title: odd, series: [{ name: odd, points: [[1, 1]] }] }],
    });
    expect(svg).not.toContain('<b>');
    await expect(pixels(svg)).resolves.toBeDefined();
  });

  it('can be read on light and dark pages', () => {
    const luminance = (hex: string) => {
      const [r, g, b] = [1, 3, 5]
        .map((i) => Number.parseInt(hex.slice(i, i + 2), 16) / 255)
        .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
    };
    for (const background of Object.values(BACKGROUNDS)) {
      for (const color of SERIES_COLORS) {
        const [dark, light] = [luminance(color), luminance(background)].sort((a, b) => a - b);
        expect((light! + 0.05) / (dark! + 0.05)).toBeGreaterThanOrEqual(3);
      }
    }
    expect(lineChart(twoLines)).toMatch(/@media \(prefers-color-scheme: dark\)/);
  });
});

describe('niceTicks', () => {
  it.each([
    [0.7, 0.9, [0.7, 0.75, 0.8, 0.85, 0.9]],
    [0, 1, [0, 0.5, 1]],
    [0.901, 0.909, [0.9, 0.902, 0.904, 0.906, 0.908, 0.91]],
    [-3, 41, [-20, 0, 20, 40, 60]],
    [120, 4000, [0, 1000, 2000, 3000, 4000]],
  ])('%f … %f', (low, high, expected) => {
    expect(niceTicks(low, high)).toEqual(expected);
  });

  it('surrounds every range, a flat one too', () => {
    for (const [low, high] of [
      ...[
        [0, 0],
        [5, 5],
        [-2, -2],
        [1e-9, 1.1e-9],
        [0.3, 0.3000001],
        [1, 1e9],
      ],
    ] as [number, number][]) {
      const ticks = niceTicks(low, high);
      expect(ticks[0]).toBeLessThanOrEqual(low);
      expect(ticks.at(-1)).toBeGreaterThanOrEqual(high);
      expect(ticks.length).toBeGreaterThan(1);
      expect(ticks.length).toBeLessThan(9);
      expect([...ticks].sort((a, b) => a - b)).toEqual(ticks);
    }
  });
});

describe('logTicks', () => {
  it.each([
    [1, 100, [1, 2, 5, 10, 20, 50, 100]],
    [0.7, 5, [0.7, 1, 1.5, 2, 3, 5]],
    [0.42, 380, [0.3, 1, 3, 10, 30, 100, 300, 1000]],
    [0.004, 2000, [0.001, 0.01, 0.1, 1, 10, 100, 1000, 10000]],
    [1e-6, 1e6, [1e-6, 1e-4, 1e-2, 1, 100, 1e4, 1e6]],
    // Too narrow for leading digits: equal steps.
    [1.12, 1.58, [1, 1.2, 1.4, 1.6]],
    [5, 5, [4.6, 4.8, 5, 5.2, 5.4]],
  ])('%f … %f', (low, high, expected) => {
    expect(logTicks(low, high)).toEqual(expected);
  });

  it('surrounds every range with 2 to 8 positive values', () => {
    for (let low = 1e-4; low < 1e4; low *= 1.37) {
      for (const ratio of [1, 1.001, 1.5, 2, 2.3, 3, 7, 30, 400, 1e4, 1e7, 1e12]) {
        const ticks = logTicks(low, low * ratio);
        const where = `${low} … ${low * ratio}: ${ticks}`;
        expect(ticks[0], where).toBeGreaterThan(0);
        expect(ticks[0], where).toBeLessThanOrEqual(low * (1 + 1e-8));
        expect(ticks.at(-1), where).toBeGreaterThanOrEqual(low * ratio * (1 - 1e-8));
        expect(ticks.length, where).toBeGreaterThan(1);
        expect(ticks.length, where).toBeLessThan(9);
        expect([...ticks].sort((a, b) => a - b)).toEqual(ticks);
      }
    }
  });
});

describe('writeChart', () => {
  it('writes SVG, and PNG at twice the size', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'ba-sam-chart-'));
    try {
      const svg = lineChart(twoLines);
      await writeChart(path.join(folder, 'chart'), svg);
      expect(readFileSync(path.join(folder, 'chart.svg'), 'utf8')).toBe(svg);
      const [, width, height] = /width="(\d+)" height="(\d+)"/.exec(svg)!.map(Number);
      const png = await sharp(path.join(folder, 'chart.png')).metadata();
      expect([png.format, png.width, png.height]).toEqual(['png', 2 * width!, 2 * height!]);
      await expect(writeChart(path.join(folder, 'nowhere', 'chart'), svg)).rejects.toMatchObject({
        code: 'ERR_IO',
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
