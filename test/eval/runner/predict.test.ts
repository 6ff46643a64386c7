import { describe, expect, it } from 'vitest';
import { binaryMask, softMask } from '../../../lib/eval/predict';

describe('maps and masks', () => {
  const scored = (...logits: number[]) => ({
    ...{ logits: Float32Array.from(logits), width: logits.length, height: 1, score: 1 },
  });

  it('a mask is where the logit is above 0', () => {
    const { data } = binaryMask(scored(-200, -0.1, -0, 0, 1e-8, 0.1, 200));
    expect([...data]).toEqual([0, 0, 0, 0, 1, 1, 1]);
  });

  it('a map is the sigmoid, from 0 to 1', () => {
    const { data } = softMask(scored(-200, -1, 0, 1, 200));
    expect([...data]).toEqual([0, 1 / (1 + Math.E), 0.5, 1 / (1 + 1 / Math.E), 1].map(Math.fround));
  });
});
