// A benchmark's rows as a table of text.
import type { Benchmark } from '../options/bench';
import type { BenchmarkRow } from './run';

type Column = readonly [heading: string, cell: (row: BenchmarkRow) => string | undefined];

const value = (name: string): Column[1] => {
  return (row) => (row[name] === undefined ? undefined : String(row[name]));
};
const column = (heading: string, name = heading): Column => [heading, value(name)];
const grid: Column = ['grid', (row) => (row.grid as readonly number[]).join('×')];
const window: Column = ['window', (row) => String(row.window ?? 'global')];

const NAMES: Readonly<Record<Benchmark, readonly Column[]>> = {
  attention: [
    column('device'),
    grid,
    window,
    column('heads'),
    column('D', 'headDim'),
    column('biases'),
    column('dtype'),
  ],
  encoder: ['device', 'model', 'size', 'biases', 'dtype'].map((name) => column(name)),
  decoder: [column('device'), grid, column('prompt'), column('prompts')],
  'event-loop': [column('device'), column('work')],
};
const MEASURES: readonly Column[] = [
  column('ms'),
  ['min … max', ({ min_ms, max_ms }) => (max_ms === undefined ? undefined : `${min_ms} … ${max_ms}`)],
  column('runs'),
  column('delay p99 ms', 'delay_p99_ms'),
  column('delay max ms', 'delay_max_ms'),
  column('ms/prompt', 'ms_per_prompt'),
  column('device ms', 'device_ms'),
  column('transfer ms', 'transfer_ms'),
  column('GFLOP/s', 'gflops'),
  ['GEMM', ({ gemm_gflops }) => (gemm_gflops as readonly number[] | undefined)?.join(' … ')],
  [
    'share',
    ({ share, efficiency }) =>
      share === undefined && efficiency === undefined ? undefined : String(share ?? efficiency),
  ],
  column('/none', 'against_none'),
  column('RSS MB', 'peak_rss_mb'),
  column('device MB', 'peak_device_mb'),
];

/** Columns that no row has are left out; a row that failed says so in place of its numbers. */
export function benchmarkTable(benchmark: Benchmark, rows: readonly BenchmarkRow[]): string {
  const names = NAMES[benchmark];
  const measures = MEASURES.filter(([, cell]) => rows.some((row) => cell(row) !== undefined));
  const lines = rows.map((row) => [
    ...names.map(([, cell]) => cell(row) ?? ''),
    ...(row.failed === undefined ? measures.map(([, cell]) => cell(row) ?? '') : []),
  ]);
  const headings = [...names, ...measures].map(([heading]) => heading);
  const widths = headings.map((heading, i) =>
    Math.max(...[heading, ...lines.map((line) => line[i] ?? '')].map((text) => text.length)),
  );
  const shown = (cells: readonly string[]) =>
    cells.map((text, i) => (i < names.length ? text.padEnd(widths[i]) : text.padStart(widths[i]))).join('  ');
  const body = lines.map((line, i) => {
    const { failed } = rows[i];
    return failed === undefined ? shown(line) : `${shown(line)}  failed: ${failed}`;
  });
  return [shown(headings), ...body].map((line) => `${line.trimEnd()}\n`).join('');
}

/** Time per op of every row that has it, in ms. */
export function opTable(rows: readonly BenchmarkRow[], describe: (index: number) => string): string {
  return rows
    .map((row, index) => {
      if (row.ops_ms === undefined) return '';
      const ops = Object.entries(row.ops_ms as Record<string, number>).filter(([, ms]) => ms > 0);
      const width = Math.max(...ops.map(([op]) => op.length));
      const lines = ops.map(([op, ms]) => `  ${op.padEnd(width)}  ${ms.toFixed(3).padStart(10)} ms\n`);
      return `${describe(index)}\n${lines.join('')}`;
    })
    .join('');
}
