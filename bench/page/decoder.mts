// Prompts on the performance page: calls of Sam.predict.
import type { PageResult, Row } from './schemas.mts';
import {
  gemmText,
  measuredRows,
  megabytes,
  opsTable,
  percent,
  plain,
  significant,
  spreadText,
  table,
  timeText,
} from './text.mts';

const NAME = ['dtype', 'embedding', 'prompt'];
const nameOf = ({ dtype, grid, prompt, prompts }: Row<'decoder'>) => [
  dtype,
  grid.join(' × '),
  `${prompts} × ${plain(prompt)}`,
];

/** Both tables and the failed rows. */
export function decoderTables({ rows }: PageResult<'decoder'>): string {
  const { measured, failures } = measuredRows(rows, (row) => nameOf(row).join(', '));
  if (measured.length === 0) return failures;
  const onDevice = measured.some(({ peak_device_mb }) => peak_device_mb);
  const columns = [
    'time of a call',
    'runs',
    'per prompt',
    'GFLOP/s',
    'GEMM, GFLOP/s',
    'share',
    'peak memory',
  ];
  const lines = measured.map((row) => [
    ...nameOf(row),
    spreadText(row),
    row.runs ?? '',
    timeText(row.ms_per_prompt),
    significant(row.gflops),
    gemmText(row),
    percent(row.share),
    megabytes(row.peak_rss_mb),
    ...(onDevice ? [row.peak_device_mb ? megabytes(row.peak_device_mb) : ''] : []),
  ]);
  return [
    table([...NAME, ...columns, ...(onDevice ? ['device memory'] : [])], lines, NAME),
    failures,
    'Where the time of the ops goes, in per cent of their sum:',
    opsTable(measured, NAME, nameOf),
  ]
    .filter(Boolean)
    .join('\n\n');
}
