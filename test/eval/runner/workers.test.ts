import { describe, expect, it } from 'vitest';
import { threadsPerWorker } from '../../../lib/eval/workers';

describe('threadsPerWorker', () => {
  it.each([
    [1, 8, 8],
    [3, 8, 2],
    [8, 8, 1],
    [9, 8, 1],
  ])('%i workers share %i threads: %i each', (workers, total, each) => {
    expect(threadsPerWorker(workers, total)).toBe(each);
  });
});
