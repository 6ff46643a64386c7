// Bootstrap intervals: known cases, coverage, and the random numbers behind them.
import { describe, expect, it } from 'vitest';
import { bootstrapMean } from '../../../bench/study/bootstrap';
import { Random } from '../../../bench/study/random';

describe('bootstrapMean', () => {
  it('has no width when all values agree', () => {
    expect(bootstrapMean([0.25, 0.25, 0.25])).toEqual({ mean: 0.25, low: 0.25, high: 0.25 });
  });

  it('is as wide as the normal approximation says', () => {
    // 0 and 1 equally often: the mean of n has a standard error of 0.5 / √n.
    const values = Array.from({ length: 400 }, (_, i) => i % 2);
    const { mean, low, high } = bootstrapMean(values);
    expect(mean).toBe(0.5);
    expect(low).toBeCloseTo(0.5 - 1.96 * 0.025, 2);
    expect(high).toBeCloseTo(0.5 + 1.96 * 0.025, 2);
    const narrow = bootstrapMean(values, { confidence: 0.5 });
    expect(narrow.high - narrow.low).toBeCloseTo(2 * 0.6745 * 0.025, 2);
  });

  it('is the same for the same seed, and nearly so for another', () => {
    const random = new Random(3);
    const values = Array.from({ length: 200 }, () => random.between(-1, 2));
    const interval = bootstrapMean(values, { seed: 5 });
    expect(bootstrapMean(values, { seed: 5 })).toEqual(interval);
    const other = bootstrapMean(values, { seed: 6 });
    expect(other).not.toEqual(interval);
    expect(Math.abs(other.low - interval.low)).toBeLessThan(0.01);
  });

  it('holds the true mean about as often as it says', () => {
    const random = new Random(11);
    let held = 0;
    for (let trial = 0; trial < 200; trial++) {
      const values = Array.from({ length: 60 }, () => random.between(0, 1));
      const { low, high } = bootstrapMean(values, { seed: trial, resamples: 500 });
      if (low <= 0.5 && high >= 0.5) held++;
    }
    expect(held).toBeGreaterThan(178);
    expect(held).toBeLessThan(200);
  });

  it('refuses nothing at all, values that are not finite, and options out of range', () => {
    expect(() => bootstrapMean([])).toThrow(/Expected at least one value, all finite for values/);
    expect(() => bootstrapMean([1, Number.NaN])).toThrow(/all finite/);
    expect(() => bootstrapMean([1], { resamples: 0 })).toThrow(/positive integer for resamples/);
    expect(() => bootstrapMean([1], { confidence: 1 })).toThrow(/between 0 and 1 for confidence/);
  });
});

describe('Random', () => {
  it('gives the numbers that it always gave', () => {
    const random = new Random(42);
    expect([random.bits(), random.bits(), random.bits()]).toEqual([3923526637, 3760544463, 4161955825]);
  });

  it('has independent streams', () => {
    const first = (seed: number, stream?: number) => new Random(seed, stream).bits();
    expect(new Set([first(1), first(1, 1), first(2), first(2, 1)]).size).toBe(4);
  });

  it('is uniform, stays within bounds, and shuffles without loss', () => {
    const random = new Random(1);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) counts[random.integer(0, 9)]++;
    // χ² with 9 degrees of freedom: 27.9 is exceeded once in a thousand.
    expect(counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)).toBeLessThan(27.9);
    const [x, y] = random.direction();
    expect(x * x + y * y).toBeCloseTo(1, 12);
    expect(random.shuffled([1, 2, 3, 4, 5]).sort()).toEqual([1, 2, 3, 4, 5]);
  });
});
