// The charts of the performance page.
import { lineChart } from '../../lib/eval/chart.ts';
import type { ChartPanel, ChartScale } from '../../lib/options/chart.ts';
import { seriesName } from './encoder.mts';
import { isCompared, OURS } from './peers.mts';
import type { PageResult } from './schemas.mts';
import { distinct, groupBy, isMeasured } from './text.mts';

const X = { xLabel: 'side of the input, px', xScale: 'log' } as const;

function panel<T extends { readonly size: number }>(
  title: string,
  rows: readonly T[],
  nameOf: (row: T) => string,
  yOf: (row: T) => number | undefined,
  yScale?: ChartScale,
): ChartPanel {
  const series = [...groupBy(rows, nameOf)].map(([name, group]) => ({
    name,
    points: group.map((row) => [row.size, yOf(row) ?? Number.NaN] as const).sort(([a], [b]) => a - b),
  }));
  return { title, yScale, series };
}

/** Time and memory of every peer against the side: two panels per model and dtype; undefined without numbers. */
export function peersChart({ rows }: PageResult<'peers'>): string | undefined {
  const ok = rows.filter(isCompared).sort((a, b) => Number(b.peer === OURS) - Number(a.peer === OURS));
  if (ok.length === 0) return undefined;
  const several = distinct(ok.map(({ model }) => model)).length > 1;
  const groups = groupBy(ok, ({ model, dtype }) => (several ? `${model}, ${dtype}` : dtype));
  return lineChart({
    ...X,
    title: `One image through the encoder${several ? '' : ` of ${ok[0].model}`}`,
    columns: 2,
    panels: [...groups].flatMap(([name, group]) => [
      panel(
        `${name}: time, s`,
        group,
        ({ peer }) => peer,
        ({ ms }) => ms / 1000,
        'log',
      ),
      panel(
        `${name}: peak memory, MiB`,
        group,
        ({ peer }) => peer,
        ({ peak_rss_mb }) => peak_rss_mb,
        'log',
      ),
    ]),
  });
}

export const SCALING_ALT = 'Time, rate, efficiency and memory of the encoder against the side of the input';

/** Time, rate, efficiency and memory of ours against the side; undefined without numbers. */
export function scalingChart({ rows }: PageResult<'encoder'>, title: string): string | undefined {
  const measured = rows.filter(isMeasured);
  if (measured.length === 0) return undefined;
  const onDevice = measured.some(({ peak_device_mb }) => peak_device_mb);
  const memory = onDevice
    ? panel('peak device memory, MiB', measured, seriesName, (row) => row.peak_device_mb, 'log')
    : panel('peak memory, MiB', measured, seriesName, (row) => row.peak_rss_mb, 'log');
  return lineChart({
    ...X,
    title,
    columns: 2,
    panels: [
      panel('time, s', measured, seriesName, ({ ms }) => ms / 1000, 'log'),
      panel('GFLOP/s', measured, seriesName, ({ gflops }) => gflops),
      panel('efficiency', measured, seriesName, ({ efficiency }) => efficiency),
      memory,
    ],
  });
}
