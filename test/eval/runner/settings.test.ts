import { describe, expect, it } from 'vitest';
import { modelConfig } from '../../../lib/eval/model';
import { attentionSettings, cellsOf, checkCells } from '../../../lib/eval/settings';
import { resolveSettings } from '../../../lib/model/ba-sam';
import { BUNDLED_MODEL } from '../../../lib/sam';

const heads3 = { heads: 3 };

describe('attentionSettings', () => {
  it.each([
    ['plain', { mode: 'paper', lengthScale: false, distance: null }],
    ['length-scale', { mode: 'paper', lengthScale: true, distance: null }],
    [
      'paper',
      {
        mode: 'paper',
        lengthScale: true,
        distance: { metric: 'euclidean', slopes: [0.1, 0.1, 0.1], start: 0 },
      },
    ],
    ['released-code', { mode: 'released-code', lengthScale: true, distance: null }],
  ] as const)('%s', (name, expected) => {
    expect(resolveSettings(attentionSettings(name), heads3)).toEqual(expected);
  });

  it('gives another penalty to paper alone', () => {
    const penalty = { metric: 'euclidean', slopes: 0.25, start: 3 } as const;
    expect(attentionSettings('paper', penalty).distance).toEqual(penalty);
    for (const name of ['plain', 'length-scale', 'released-code'] as const) {
      expect(attentionSettings(name, penalty).distance).toBeUndefined();
    }
  });
});

describe('cells', () => {
  it('are every size with every setting, sizes changing slowest', () => {
    expect(cellsOf([256, 512], ['plain', 'paper'])).toEqual([
      { size: 256, attention: 'plain' },
      { size: 256, attention: 'paper' },
      { size: 512, attention: 'plain' },
      { size: 512, attention: 'paper' },
    ]);
  });

  it('are refused where the released code computes nothing', async () => {
    const config = await modelConfig(BUNDLED_MODEL);
    expect(() => checkCells(cellsOf([1024, 1008], ['plain', 'released-code']), config)).toThrow(
      'Attention released-code at size 1008: Expected a longest side of at least 1024 px in mode released-code but ' +
        'received 1008',
    );
    // Rounded up to whole patches of 16 px, this is 1024.
    expect(() => checkCells(cellsOf([1010, 4096], ['released-code']), config)).not.toThrow();
  });

  it('are refused with slopes for another number of heads', async () => {
    const config = await modelConfig(BUNDLED_MODEL);
    const penalty = { metric: 'manhattan', slopes: [1, 2] } as const;
    expect(() => checkCells(cellsOf([256], ['paper']), config, penalty)).toThrow(
      /^Attention paper at size 256: .*3 heads/,
    );
  });
});
