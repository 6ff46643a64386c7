// The attention kernel by itself on the performance page.
import type { MeasuredRow, PageResult, Row } from './schemas.mts';
import {
  distinct,
  factorText,
  groupBy,
  measuredRows,
  megabytes,
  percent,
  plain,
  spreadText,
  table,
  timeText,
} from './text.mts';

type Measured = MeasuredRow<'attention'>;

const gridText = ({ grid }: Row<'attention'>) => grid.join(' × ');
const windowText = ({ window }: Row<'attention'>) => (window === null ? 'global' : `${window} × ${window}`);
const shapeText = (row: Row<'attention'>) =>
  plain(
    `${gridText(row)} tokens, ${row.heads} heads × ${row.headDim}, ${row.window === null ? 'global' : `windows of ${windowText(row)}`}, biases ${row.biases}`,
  );
const rowName = (row: Row<'attention'>) => `${row.dtype}, ${shapeText(row)}`;

/**
 * Sentences: share of the product's rate, cost of each kind of bias. Only costs measured in turn with the same layer without
 * biases, in one process: two rows of a drifting machine are no measure.
 */
export function attentionFindings({ rows }: PageResult<'attention'>): string[] {
  const { measured } = measuredRows(rows, rowName);
  const byDtype = [...groupBy(measured, ({ dtype }) => dtype)].map(([dtype, group]) => {
    const sorted = [...group].sort((a, b) => a.share - b.share);
    const where = (row: Measured) => `${percent(row.share)} (${shapeText(row)})`;
    const [low, high] = [sorted[0], sorted[sorted.length - 1]].map(where);
    const reached = low === high ? low : `between ${low} and ${high}`;
    return `- **${dtype}.** The kernel reaches ${reached} of the product's rate.`;
  });
  const withCost = measured.flatMap(({ biases, against_none: cost }) => (cost ? [{ biases, cost }] : []));
  const costs = [...groupBy(withCost, ({ biases }) => biases)].map(([biases, group]) => {
    const values = group.map(({ cost }) => cost).sort((a, b) => a - b);
    const [low, high] = [values[0], values[values.length - 1]].map(factorText);
    return `${plain(biases)} ${low === high ? low : `${low} to ${high}`}`;
  });
  if (costs.length > 0) {
    byDtype.push(`- **Biases.** Time over that of the same layer without any: ${costs.join('; ')}.`);
  }
  return byDtype;
}

/** A table per dtype: a row per shape, a column per kind of bias. */
export function attentionTables({ rows }: PageResult<'attention'>): string {
  const { measured, failures } = measuredRows(rows, rowName);
  const kinds = distinct(measured.map(({ biases }) => biases));
  const onDevice = measured.some(({ peak_device_mb }) => peak_device_mb);
  const tables = [...groupBy(measured, ({ dtype }) => dtype)].map(([dtype, group]) => {
    const shapes = [
      ...groupBy(group, (row) => JSON.stringify([row.heads, row.headDim, row.window, row.grid])).values(),
    ];
    const lines = shapes.map((same) => {
      const [row] = same;
      const most = (key: 'peak_rss_mb' | 'peak_device_mb') =>
        megabytes(Math.max(...same.map((one) => one[key] ?? 0)));
      return [
        row.tokens,
        gridText(row),
        row.heads,
        row.headDim,
        windowText(row),
        ...kinds.map((kind) => cell(same.find(({ biases }) => biases === kind))),
        most('peak_rss_mb'),
        ...(onDevice ? [most('peak_device_mb')] : []),
      ];
    });
    const columns = ['N', 'grid', 'heads', 'D', 'window', ...kinds.map(plain), 'peak memory'];
    return `**${dtype}**\n\n${table([...columns, ...(onDevice ? ['device memory'] : [])], lines)}`;
  });
  return [...tables, failures].filter(Boolean).join('\n\n');
}

function cell(row: Measured | undefined): string {
  if (!row) return '';
  const { against_none: cost } = row;
  return `${cost ? `${timeText(row.ms)}, ${factorText(cost)}` : spreadText(row)}<br>${percent(row.share)}`;
}
