import { describe, expect, it } from 'vitest';
import { duration, EvaluationProgressView } from '../../../lib/cli/evaluate-progress';

describe('progress in a pipe', () => {
  it('is a line now and then, with the rate of this run and the time that is left', () => {
    const lines: string[] = [];
    let now_ms = 5_000;
    const view = new EvaluationProgressView(
      false,
      (line) => lines.push(line),
      () => now_ms,
    );
    for (let done = 40; done <= 100; done++) {
      view.update('duts', { done, total: 100, resumed: 40 });
      now_ms += 500;
    }
    view.update('coco', { done: 0, total: 9, resumed: 0 });
    view.stop();
    expect(lines).toEqual([
      'duts: 40 of 100 rows, – rows/s, – left\n',
      'duts: 60 of 100 rows, 2.00 rows/s, 20 s left\n',
      'duts: 80 of 100 rows, 2.00 rows/s, 10 s left\n',
      'duts: 100 of 100 rows, 2.00 rows/s, 0 s left\n',
      'coco: 0 of 9 rows, – rows/s, – left\n',
    ]);
  });
});

describe('duration', () => {
  it.each([
    [0.4, '0 s'],
    [59, '59 s'],
    [59.7, '1 min 00 s'],
    [723, '12 min 03 s'],
    [18_420, '5 h 07 min'],
    [-1, '0 s'],
  ])('%f s', (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });
});
