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
      'length-scale+distance',
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

  it('gives another penalty to length-scale+distance alone', () => {
    const distance = { metric: 'euclidean', slopes: 0.25, start: 3 } as const;
    expect(attentionSettings('length-scale+distance', distance).distance).toEqual(distance);
    for (const name of ['plain', 'length-scale', 'released-code'] as const) {
      expect(attentionSettings(name, distance).distance).toBeUndefined();
    }
  });
});

describe('cells', () => {
  it('are every size with every setting, sizes changing slowest', () => {
    expect(cellsOf([256, 512], ['plain', 'length-scale+distance'])).toEqual([
      { size: 256, attention: 'plain' },
      { size: 256, attention: 'length-scale+distance' },
      { size: 512, attention: 'plain' },
      { size: 512, attention: 'length-scale+distance' },
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
    const distance = { metric: 'manhattan', slopes: [1, 2] } as const;
    expect(() => checkCells(cellsOf([256], ['length-scale+distance']), config, distance)).toThrow(
      /^Attention length-scale\+distance at size 256: .*3 heads/,
    );
  });
});
