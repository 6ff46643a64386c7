// Line charts as SVG, drawn without a library: panels beside each other, one legend, readable on light and dark pages.
import { writeFile } from 'node:fs/promises';
import { invalidArgument } from '../errors';
import { replaceFile } from '../files/outputs';
import { type ChartOptions, type ChartPanel, type ChartScale, chartSchema } from '../options/chart';
import { filePath, parse } from '../options/validate';
import { renderSvg } from './render-svg';

/**
 * Colours with a contrast of at least 3:1 to white and to the dark background below, the least that WCAG 2 asks of
 * lines; dashes and markers tell the series apart for those who see no colours.
 */
export const SERIES_COLORS = ['#2f7fe0', '#d5671a', '#2a9d5c', '#a463e0', '#d64b76', '#1898a8', '#8a7a1c'];
const DASHES = ['', '7 3', '2 3', '9 3 2 3'];
export const BACKGROUNDS = { light: '#ffffff', dark: '#0d1117' } as const;

const PANEL = { width: 380, height: 270, left: 58, right: 16, top: 34, bottom: 46 } as const;
const MARGIN = 14;
const FONT = 12;
// DejaVu Sans, the widest of the usual fonts, needs about this share of the font size per character.
const CHARACTER_WIDTH = 0.62 * FONT;

// Attributes are the light theme, which is what renderers without media queries (resvg, librsvg) show; a browser on a dark page
// takes the style instead.
const STYLE = `
text { font-family: "DejaVu Sans", Verdana, Helvetica, Arial, sans-serif; font-size: ${FONT}px; }
.title { font-size: 15px; font-weight: bold; }
.panel { font-size: 13px; font-weight: bold; }
@media (prefers-color-scheme: dark) {
  .background { fill: ${BACKGROUNDS.dark}; }
  text { fill: #e6edf3; }
  .grid { stroke: #30363d; }
  .axis { stroke: #8b949e; }
}
`;

/**
 * Draws a chart. The y axis of a panel covers its values, not zero: it is made for comparing lines.
 *
 * @returns a complete SVG document; the legend lists the series in the order in which they first appear
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function lineChart(options: ChartOptions): string {
  parse(chartSchema, options, 'options');
  const { title, panels } = options;
  const names = [...new Set(panels.flatMap(({ series }) => series.map(({ name }) => name)))];
  const columns = Math.max(1, Math.min(options.columns ?? 3, panels.length));
  const width = 2 * MARGIN + columns * PANEL.width;
  const legend = drawLegend(names, width, MARGIN + 34);
  const top = legend.bottom + 8;
  const height = top + Math.ceil(panels.length / columns) * PANEL.height + MARGIN;
  const drawn = panels.map((panel, i) => {
    const x = MARGIN + (i % columns) * PANEL.width;
    const y = top + Math.floor(i / columns) * PANEL.height;
    return `<g transform="translate(${x} ${y})">\n${drawPanel(panel, names, options)}\n</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="background" width="${width}" height="${height}" fill="${BACKGROUNDS.light}"/>`,
    text(title, MARGIN, MARGIN + 14, { class: 'title' }),
    legend.svg,
    ...drawn,
    '</svg>',
    '',
  ].join('\n');
}

/**
 * Writes a chart as SVG, and as PNG at twice its size in px.
 *
 * @param base path without extension
 * @param svg a document such as those of {@link lineChart}
 * @throws SamError ERR_INVALID_ARGUMENT, ERR_IO
 */
export async function writeChart(base: string, svg: string): Promise<void> {
  parse(filePath, base, 'base');
  if (typeof svg !== 'string') throw invalidArgument('svg', 'SVG document', svg);
  const png = await renderSvg(svg, 2);
  await replaceFile(`${base}.svg`, (temporary) => writeFile(temporary, svg));
  await replaceFile(`${base}.png`, (temporary) => writeFile(temporary, png));
}

/**
 * Round numbers that divide a range: steps of 1, 2 or 5 times a power of ten.
 *
 * @returns about `count` ascending values; the first is at most `low`, the last at least `high`
 */
export function niceTicks(low: number, high: number, count = 5): number[] {
  // A flat line gets a range of its own scale, so that it does not sit on the edge.
  const flat = Math.max(Math.abs(low), Math.abs(high)) * 0.1 || 1;
  const [from, to] = high - low > 1e-12 * Math.abs(high) ? [low, high] : [low - flat / 2, high + flat / 2];
  const raw = (to - from) / Math.max(1, count - 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((factor) => raw <= factor * power * (1 + 1e-9)) ?? 10);
  const first = Math.floor(from / step + 1e-9);
  const last = Math.ceil(to / step - 1e-9);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toFixed(digits)));
}

// Leading digits of logarithmic ticks, the densest first.
const LOG_STEPS = [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]];
const MOST_LOG_TICKS = 8;

/**
 * Numbers for a logarithmic axis: as many as fit of 1, 2, 5 or other leading digits in every power of ten; steps of
 * {@link niceTicks} where the range is too narrow for those.
 *
 * @param low positive
 * @param high at least `low`
 * @returns 2 to 8 ascending positive values; the first is at most `low`, the last at least `high`
 */
export function logTicks(low: number, high: number): number[] {
  const decade = Math.floor(Math.log10(low) + 1e-9);
  const decades = Math.ceil(Math.log10(high) - 1e-9) - decade;
  const ticksOf = (leading: readonly number[], stride = 1) => {
    const all = Array.from({ length: Math.ceil(Math.max(decades, 1) / stride) + 1 }, (_, i) =>
      leading.map((digit) => Number(`${digit}e${decade + i * stride}`)),
    ).flat();
    const first = all.findLastIndex((tick) => tick <= low * (1 + 1e-9));
    return all.slice(first, all.findIndex((tick) => tick >= high * (1 - 1e-9)) + 1);
  };
  if (ticksOf(LOG_STEPS[0]!).length < 4) return niceTicks(low, high);
  const fitting = LOG_STEPS.map((leading) => ticksOf(leading)).find(({ length }) => length <= MOST_LOG_TICKS);
  return fitting ?? ticksOf([1], Math.ceil(decades / (MOST_LOG_TICKS - 1)));
}

function drawLegend(names: readonly string[], width: number, y: number): { svg: string; bottom: number } {
  const parts: string[] = [];
  let x = MARGIN;
  let line = y;
  for (const [index, name] of names.entries()) {
    const entry = 44 + name.length * CHARACTER_WIDTH + 18;
    if (x > MARGIN && x + entry > width - MARGIN) {
      x = MARGIN;
      line += 20;
    }
    parts.push(
      `<path d="M${x} ${line}h32" ${strokeOf(index)}/>`,
      marker(index, x + 16, line),
      text(name, x + 40, line + 4),
    );
    x += entry;
  }
  return { svg: parts.join('\n'), bottom: line + 10 };
}

function drawPanel(panel: ChartPanel, names: readonly string[], options: ChartOptions): string {
  const { title, series, yScale = 'linear' } = panel;
  const { xLabel, xScale = 'linear' } = options;
  const lines = series.map(({ name, points }) => ({
    index: names.indexOf(name),
    points: points.filter(([x, y]) => canShow(x, xScale) && canShow(y, yScale)),
  }));
  const points = lines.flatMap((line) => line.points);
  const { left, top } = PANEL;
  const right = PANEL.width - PANEL.right;
  const bottom = PANEL.height - PANEL.bottom;
  const centre = (left + right) / 2;
  const parts = [text(title, left, top - 12, { class: 'panel' })];
  if (points.length === 0) {
    parts.push(text('no values', centre, (top + bottom) / 2, { anchor: 'middle' }));
    return parts.join('\n');
  }

  const xs = [...new Set(points.map(([x]) => x))].sort((a, b) => a - b);
  const ys = points.map(([, y]) => y);
  const ticks = yScale === 'log' ? logTicks : niceTicks;
  const yTicks = ticks(Math.min(...ys), Math.max(...ys));
  const alongX = share(xScale, xs[0]!, xs.at(-1)!);
  const alongY = share(yScale, yTicks[0]!, yTicks.at(-1)!);
  // Half a step of air on both sides: markers do not touch the axes, and a single x lies in the middle.
  const inset = (right - left) * 0.06;
  const toX = (x: number) => (xs.length > 1 ? left + inset + alongX(x) * (right - left - 2 * inset) : centre);
  const toY = (y: number) => bottom - alongY(y) * (bottom - top);

  const digits = Math.max(...yTicks.map((tick) => String(tick).split('.')[1]?.length ?? 0));
  const yLabel = (tick: number) => (yScale === 'log' ? String(tick) : tick.toFixed(digits));
  for (const tick of yTicks) {
    const y = round(toY(tick));
    parts.push(
      `<path class="grid" d="M${left} ${y}H${right}" stroke="#d8dee4" stroke-width="1"/>`,
      text(yLabel(tick), left - 7, y + 4, { anchor: 'end' }),
    );
  }
  for (const tick of shownTicks(xs, toX)) {
    const x = round(toX(tick));
    parts.push(
      `<path class="axis" d="M${x} ${bottom}v5" stroke="#57606a" stroke-width="1"/>`,
      text(String(tick), x, bottom + 19, { anchor: 'middle' }),
    );
  }
  parts.push(
    `<path class="axis" d="M${left} ${top}V${bottom}H${right}" fill="none" stroke="#57606a" stroke-width="1"/>`,
    text(xLabel, centre, bottom + 38, { anchor: 'middle' }),
  );
  for (const line of lines) {
    const at = line.points.map(([x, y]) => [round(toX(x)), round(toY(y))] as const);
    if (at.length > 1) {
      parts.push(`<path d="M${at.map(([x, y]) => `${x} ${y}`).join('L')}" ${strokeOf(line.index)}/>`);
    }
    for (const [x, y] of at) parts.push(marker(line.index, x, y));
  }
  return parts.join('\n');
}

function canShow(value: number, scale: ChartScale): boolean {
  return Number.isFinite(value) && (scale === 'linear' || value > 0);
}

/** Where a value lies between two others: 0 … 1. */
function share(scale: ChartScale, low: number, high: number): (value: number) => number {
  const at = scale === 'log' ? Math.log : (value: number) => value;
  return (value) => (at(value) - at(low)) / (at(high) - at(low));
}

// Labels that would run into the one before are left out.
function shownTicks(xs: readonly number[], toX: (x: number) => number): number[] {
  let free = Number.NEGATIVE_INFINITY;
  return xs.filter((x) => {
    const half = (String(x).length * CHARACTER_WIDTH) / 2;
    if (toX(x) - half < free) return false;
    free = toX(x) + half + 4;
    return true;
  });
}

function colorOf(index: number): string {
  return SERIES_COLORS[index % SERIES_COLORS.length]!;
}

function strokeOf(index: number): string {
  const dash = DASHES[index % DASHES.length]!;
  return `fill="none" stroke="${colorOf(index)}" stroke-width="2"${dash && ` stroke-dasharray="${dash}"`}`;
}

// Circle, square, triangle, diamond.
function marker(index: number, x: number, y: number): string {
  const fill = `fill="${colorOf(index)}"`;
  switch (index % 4) {
    case 0:
      return `<circle cx="${x}" cy="${y}" r="4" ${fill}/>`;
    case 1:
      return `<path d="M${x - 4} ${y - 4}h8v8h-8z" ${fill}/>`;
    case 2:
      return `<path d="M${x} ${y - 5}l5 9h-10z" ${fill}/>`;
    default:
      return `<path d="M${x} ${y - 5}l5 5l-5 5l-5 -5z" ${fill}/>`;
  }
}

function text(
  content: string,
  x: number,
  y: number,
  options: { class?: string; anchor?: 'middle' | 'end' } = {},
): string {
  const name = options.class ? ` class="${options.class}"` : '';
  const anchor = options.anchor ? ` text-anchor="${options.anchor}"` : '';
  return `<text x="${round(x)}" y="${round(y)}" fill="#1f2328"${name}${anchor}>${escapeXml(content)}</text>`;
}

const round = (value: number): number => Math.round(value * 100) / 100;

function escapeXml(content: string): string {
  // Control characters are not allowed in XML, even escaped.
  return content
    .replace(/\p{Cc}+/gu, ' ')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}
