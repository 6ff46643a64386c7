// Numbers and tables as the performance page writes them.

/** What a cell may hold. */
export type Cell = string | number;

/** Times in ms. */
export interface Spread {
  readonly ms: number;
  readonly min_ms: number;
  readonly max_ms: number;
}

/** A Markdown table; columns named in `left` are aligned left, all others right. */
export function table(
  columns: readonly string[],
  rows: readonly (readonly Cell[])[],
  left: readonly string[] = [],
): string {
  const line = (cells: readonly Cell[]) => `| ${cells.join(' | ')} |`;
  const rule = columns.map((column) => (left.includes(column) ? '---' : '---:'));
  return [line(columns), line(rule), ...rows.map(line)].join('\n');
}

/** About three significant digits, never an exponent: 0.0123, 1.23, 12.3, 1234. */
export function significant(value: number): string {
  if (value === 0) return '0';
  return value.toFixed(Math.min(8, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))));
}

/** `2.58 s`, `812 ms`. */
export function timeText(ms: number): string {
  return ms < 1000 ? `${significant(ms)} ms` : `${significant(ms / 1000)} s`;
}

/** Median, then the fastest and the slowest run in the same unit: `2.58 s (2.57 … 2.62)`. */
export function spreadText({ ms, min_ms: low, max_ms: high }: Spread): string {
  const unit = ms < 1000 ? 1 : 1000;
  return `${timeText(ms)} (${significant(low / unit)} … ${significant(high / unit)})`;
}

/** `1.07×`, `23.4×`. */
export function factorText(factor: number): string {
  return `${factor < 10 ? factor.toFixed(2) : significant(factor)}×`;
}

/** `1.07-fold`, `23.4-fold`. */
export const foldText = (factor: number) => factorText(factor).replace('×', '-fold');

export const inputText = ({ size }: { readonly size: number }) => `${size} × ${size}`;
export const megabytes = (value: number) => `${Math.round(value)} MiB`;
export const percent = (share: number) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

/** `a`, `a and b`, `a, b and c`. */
export function listText(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}

/** Text from elsewhere on one line of Markdown, in which nothing is markup. */
export function plain(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  const short = line.length > 300 ? `${line.slice(0, 299)}…` : line;
  return short.replace(/[|\\`*_<>[\]]/g, '\\$&');
}

/** The values in the order of their first appearance, each once. */
export const distinct = <T,>(values: readonly T[]): T[] => [...new Set(values)];

/** Items under the same key, in the order of their first appearance. */
export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, [T, ...T[]]> {
  const groups = new Map<string, [T, ...T[]]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

/** The rows that have numbers, and a list of those that failed with their reasons: empty text when there are none. */
export function measuredRows<T extends { readonly failed?: string }>(
  rows: readonly T[],
  nameOf: (row: T) => string,
): { measured: Exclude<T, { failed: string }>[]; failures: string } {
  const failures = rows.flatMap((row) =>
    row.failed === undefined ? [] : [`- Failed: ${nameOf(row)}: ${plain(row.failed)}`],
  );
  return { measured: rows.filter(isMeasured), failures: failures.join('\n') };
}

/** Whether a row has numbers. */
export function isMeasured<T extends { readonly failed?: string }>(
  row: T,
): row is Exclude<T, { failed: string }> {
  return row.failed === undefined;
}

/** Ops that take less than this share everywhere are summed up. */
const SMALL_SHARE = 0.01;

/** Where the time of rows goes: a column per op, in per cent of the sum of all ops. */
export function opsTable<T extends { readonly ops_ms: Readonly<Record<string, number>> }>(
  rows: readonly T[],
  columns: readonly string[],
  cellsOf: (row: T) => readonly string[],
): string {
  const shares = rows.map(({ ops_ms }) => {
    const total = Object.values(ops_ms).reduce((sum, ms) => sum + ms, 0);
    return new Map(Object.entries(ops_ms).map(([op, ms]) => [op, total > 0 ? ms / total : 0]));
  });
  const largest = (op: string) => Math.max(...shares.map((share) => share.get(op) ?? 0));
  const ops = distinct(shares.flatMap((share) => [...share.keys()]));
  const shown = ops.filter((op) => largest(op) >= SMALL_SHARE).sort((a, b) => largest(b) - largest(a));
  const lines = rows.map((row, i) => {
    const values = shown.map((op) => shares[i].get(op) ?? 0);
    const others = ops.filter((op) => !shown.includes(op)).map((op) => shares[i].get(op) ?? 0);
    return [...cellsOf(row), ...values, others.reduce((sum, value) => sum + value, 0)].map((cell) =>
      typeof cell === 'number' ? percent(cell) : cell,
    );
  });
  return table([...columns, ...shown, 'others'], lines, columns);
}

export const gemmText = ({ gemm_gflops: [before, after] }: { readonly gemm_gflops: readonly number[] }) =>
  `${significant(before)} … ${significant(after)}`;
