// The image encoder by itself on the performance page: sentences, tables.
import type { MeasuredRow, PageResult, Row } from './schemas.mts';
import {
  distinct,
  factorText,
  foldText,
  gemmText,
  groupBy,
  inputText,
  listText,
  measuredRows,
  megabytes,
  opsTable,
  percent,
  significant,
  spreadText,
  table,
  timeText,
} from './text.mts';

type Measured = MeasuredRow<'encoder'>;

/** What a line of a chart is called: model, dtype, and the biases unless it is plain SAM. */
export function seriesName({ model, dtype, biases }: Row<'encoder'>): string {
  return [model, dtype, ...(biases === 'plain' ? [] : [biases])].join(', ');
}

const rowName = (row: Row<'encoder'>) => `${seriesName(row)}, ${row.size} px`;

/** Sentences about efficiency, growth with the input's side, and bf16 against f32. */
export function encoderFindings({ rows }: PageResult<'encoder'>): string[] {
  const { measured } = measuredRows(rows, rowName);
  if (measured.length === 0) return [];
  const sorted = [...measured].sort((a, b) => a.efficiency - b.efficiency);
  const [worst, best] = [sorted[0], sorted[sorted.length - 1]];
  const drift = Math.max(...measured.map(({ gemm_gflops: [before, after] }) => Math.abs(after / before - 1)));
  const where = (row: Measured) => `${row.efficiency.toFixed(2)} (${rowName(row)})`;
  const efficiency =
    worst === best
      ? `Efficiency is ${where(best)}`
      : `Efficiency lies between ${where(worst)} and ${where(best)}`;
  return [
    `- **Efficiency.** ${efficiency}. The product that it is measured by moved by up to ` +
      `${percent(drift)} within one process, from before the row to after it` +
      `${best.efficiency > 1 ? '; values above 1 lie in that drift, or in products of other shapes that run better than this one' : ''}.`,
    ...growth(measured),
    ...dtypes(measured),
  ];
}

function growth(measured: readonly Measured[]): string[] {
  return [...groupBy(measured, seriesName)]
    .map(([name, group]) => {
      const sorted = [...group].sort((a, b) => a.size - b.size);
      return { name, small: sorted[0], large: sorted[sorted.length - 1] };
    })
    .filter(({ small, large }) => small.size < large.size)
    .map(({ name, small, large }) => {
      const factor = (key: 'gflop' | 'ms' | 'peak_rss_mb') => foldText(large[key] / small[key]);
      return (
        `- **${name}, from ${small.size} to ${large.size} px.** Operations grow ${factor('gflop')}, ` +
        `time ${factor('ms')}, peak memory ${factor('peak_rss_mb')}; the rate goes from ${significant(small.gflops)} to ` +
        `${significant(large.gflops)} GFLOP/s, efficiency from ${small.efficiency.toFixed(2)} to ${large.efficiency.toFixed(2)}.`
      );
    });
}

function dtypes(measured: readonly Measured[]): string[] {
  const compared = measured
    .filter(({ dtype }) => dtype === 'bf16')
    .flatMap((row) => {
      const f32 = measured.find((other) => sameButDtype(row, other) && other.dtype === 'f32');
      return f32 ? [{ row, f32 }] : [];
    });
  const groups = groupBy(compared, ({ row: { model, biases } }) =>
    [model, ...(biases === 'plain' ? [] : [biases])].join(', '),
  );
  return [...groups].map(([name, list]) => {
    const places = list
      .sort((a, b) => a.row.size - b.row.size)
      .map(({ row, f32 }) => `${factorText(row.ms / f32.ms)} at ${row.size} px`);
    return `- **${name}, bf16 against f32.** Time in bf16 over time in f32: ${listText(places)}.`;
  });
}

const sameButDtype = (a: Measured, b: Measured) =>
  a.model === b.model && a.size === b.size && a.biases === b.biases;

/** Both tables and the failed rows. */
export function encoderTables({ rows }: PageResult<'encoder'>): string {
  const { measured, failures } = measuredRows(rows, rowName);
  const sorted = [...measured].sort(
    (a, b) =>
      a.model.localeCompare(b.model) ||
      b.dtype.localeCompare(a.dtype) ||
      a.biases.localeCompare(b.biases) ||
      a.size - b.size,
  );
  if (sorted.length === 0) return failures;
  const several = distinct(sorted.map(({ biases }) => biases)).length > 1;
  const name = ['model', 'dtype', ...(several ? (['biases'] as const) : [])] as const;
  const nameOf = (row: Measured) => [...name.map((key) => row[key]), inputText(row)];
  const onDevice: readonly [column: string, of: (row: Measured) => string | 0 | undefined][] = [
    ['ops', ({ device_ms }) => device_ms && timeText(device_ms)],
    ['copies', ({ transfer_ms }) => transfer_ms && timeText(transfer_ms)],
    ['device memory', ({ peak_device_mb }) => peak_device_mb && megabytes(peak_device_mb)],
  ];
  const optional = onDevice.filter(([, of]) => sorted.some(of));
  const columns = ['time', 'runs', 'GFLOP', 'GFLOP/s', 'GEMM, GFLOP/s', 'efficiency', 'peak memory'];
  const lines = sorted.map((row) => [
    ...nameOf(row),
    spreadText(row),
    row.runs ?? '',
    significant(row.gflop),
    significant(row.gflops),
    gemmText(row),
    row.efficiency.toFixed(2),
    megabytes(row.peak_rss_mb),
    ...optional.map(([, of]) => of(row) ?? ''),
  ]);
  return [
    table([...name, 'input', ...columns, ...optional.map(([column]) => column)], lines, name),
    failures,
    'Where the time goes, in per cent of the sum of all ops:',
    opsTable(sorted, [...name, 'input'], nameOf),
  ]
    .filter(Boolean)
    .join('\n\n');
}
