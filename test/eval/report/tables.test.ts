import { describe, expect, it } from 'vitest';
import type { EvaluationResult } from '../../../lib/eval/report';
import { formatValue, markdownTable, resultTable } from '../../../lib/eval/report';
import { suiteTable } from '../../../lib/eval/suite';
import { defaultMetrics, resultKeys } from '../../../lib/eval/tally';
import { EVALUATION_METRICS } from '../../../lib/options/evaluate';

function result(
  dataset: string,
  metrics: Parameters<typeof resultKeys>[0],
  sizes: number[],
): EvaluationResult {
  const keys = resultKeys(metrics);
  return {
    dataset,
    images: 7,
    problems: [],
    notes: [],
    keys,
    files: ['/out/results.json'],
    means: sizes.flatMap((size) =>
      (['plain', 'length-scale+distance'] as const).map((attention) => ({
        size,
        attention,
        values: Object.fromEntries([...keys.keys()].map((key, i) => [key, size / 1e4 + i])),
      })),
    ),
  };
}

describe('tables', () => {
  it('have a row for every size and setting', () => {
    expect(resultTable(result('a', ['mae', 'iou'], [256, 512])).split('\n')).toEqual([
      '| size | attention | MAE ↓ | IoU ↑ |',
      '| --- | --- | ---: | ---: |',
      '| 256 | plain | 0.0256 | 1.0256 |',
      '| 256 | length-scale+distance | 0.0256 | 1.0256 |',
      '| 512 | plain | 0.0512 | 1.0512 |',
      '| 512 | length-scale+distance | 0.0512 | 1.0512 |',
      '',
    ]);
  });

  it('of suites have a row for every dataset and a column for every key, size and setting', () => {
    const table = suiteTable(
      new Map([
        ['first', result('a', ['mae'], [256, 512])],
        ['second | odd', result('b', ['iou'], [512])],
      ]),
    );
    expect(table.split('\n')).toEqual([
      '| dataset | images | MAE ↓ 256 plain | MAE ↓ 256 length-scale+distance | MAE ↓ 512 plain | MAE ↓ 512 length-scale+distance ' +
        '| IoU ↑ 256 plain | IoU ↑ 256 length-scale+distance | IoU ↑ 512 plain | IoU ↑ 512 length-scale+distance |',
      `| --- |${' ---: |'.repeat(9)}`,
      '| first | 7 | 0.0256 | 0.0256 | 0.0512 | 0.0512 | – | – | – | – |',
      '| second \\| odd | 7 | – | – | – | – | – | – | 0.0512 | 0.0512 |',
      '',
    ]);
  });

  it('keep names in their cells', () => {
    expect(markdownTable(['a'], [['x|y\n*z*']], 1)).toBe('| a |\n| --- |\n| x\\|y \\*z\\* |\n');
  });

  it('write numbers to be compared', () => {
    expect([0.123456, 1, 1234.56, null, undefined].map(formatValue)).toEqual([
      ...['0.1235', '1.0000', '1234.6', '–', '–'],
    ]);
  });
});

describe('metrics', () => {
  it('all have columns', () => {
    for (const name of EVALUATION_METRICS) expect(resultKeys([name]).size).toBeGreaterThan(0);
  });

  it('by default are those of the task', () => {
    expect(defaultMetrics(true, false)).toEqual(['ap', 'iou']);
    expect(defaultMetrics(false, true)).toEqual([...defaultMetrics(false, false), 'hce'].sort(byOrder));
  });
});

const byOrder = (a: string, b: string) =>
  EVALUATION_METRICS.indexOf(a as 'ap') - EVALUATION_METRICS.indexOf(b as 'ap');
