// Far false positives on masks small enough to count by hand, and against a search over all pairs of pixels.
import { describe, expect, it } from 'vitest';
import { farFalsePositives, farRegion } from '../../../bench/study/far-positives';
import { Random } from '../../../bench/study/random';
import type { BinaryMask } from '../../../lib/eval/types';

function draw(...rows: string[]): BinaryMask {
  const data = Uint8Array.from(rows.join(''), (character) => (character === '#' ? 1 : 0));
  return { data, width: rows[0].length, height: rows.length };
}

describe('farRegion', () => {
  it('holds what is farther than the distance, in a circle', () => {
    const truth = draw('.......', '.......', '...#...', '.......', '.......');
    expect(farRegion(truth, 2)).toEqual(draw('###.###', '##...##', '#.....#', '##...##', '###.###'));
    // √5 = 2.236: one knight's move away.
    expect(farRegion(truth, 2.2)).toEqual(farRegion(truth, 2));
    expect(farRegion(truth, 2.3)).toEqual(draw('##...##', '#.....#', '#.....#', '#.....#', '##...##'));
    expect(farRegion(truth, 0)).toEqual(draw('#######', '#######', '###.###', '#######', '#######'));
  });

  it('is everything for an empty object and nothing for a full one', () => {
    expect(farRegion(draw('...', '...'), 5)).toEqual(draw('###', '###'));
    expect(farRegion(draw('##', '##'), 0)).toEqual(draw('..', '..'));
  });

  it('agrees with a search over all pairs of pixels', () => {
    const random = new Random(7);
    for (const distance of [0.5, 1, 3.7, 5, 40]) {
      const [width, height] = [random.integer(1, 33), random.integer(1, 29)];
      const data = Uint8Array.from({ length: width * height }, () => (random.between(0, 1) < 0.01 ? 1 : 0));
      const expected = data.map((_, p) => {
        for (let q = 0; q < data.length; q++) {
          if (data[q] === 0) continue;
          const dx = (p % width) - (q % width);
          const dy = Math.floor(p / width) - Math.floor(q / width);
          if (dx * dx + dy * dy <= distance * distance) return 0;
        }
        return 1;
      });
      expect(farRegion({ data, width, height }, distance)).toEqual({ data: expected, width, height });
    }
  });
});

describe('farFalsePositives', () => {
  const truth = draw('##......', '##......');
  const far = farRegion(truth, 2);

  it('counts the mask in the far region, relative to the object', () => {
    // Columns 4 … 7 are far. The object has four pixels.
    expect(farFalsePositives(draw('##......', '##......'), truth, far)).toBe(0);
    expect(farFalsePositives(draw('####....', '####....'), truth, far)).toBe(0);
    expect(farFalsePositives(draw('#####...', '####....'), truth, far)).toBe(0.25);
    expect(farFalsePositives(draw('########', '########'), truth, far)).toBe(2);
    expect(farFalsePositives(draw('.......#', '......##'), truth, far)).toBe(0.75);
    expect(farFalsePositives(draw('........', '........'), truth, far)).toBe(0);
  });

  it('refuses an empty object and masks of different sizes', () => {
    const empty = draw('........', '........');
    expect(() => farFalsePositives(truth, empty, far)).toThrow(/Expected an object of at least one pixel/);
    expect(() => farFalsePositives(draw('##'), truth, far)).toThrow(
      /Expected masks of 2 × 1 px but received 8 × 2 px/,
    );
    expect(() => farFalsePositives(truth, truth, draw('##'))).toThrow(/but received 2 × 1 px/);
  });
});
