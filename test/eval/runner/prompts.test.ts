import { describe, expect, it } from 'vitest';
import { blindPrompts, interiorPoint, truthPrompt } from '../../../lib/eval/prompts';
import type { BinaryMask } from '../../../lib/eval/types';

function mask(...rows: string[]): BinaryMask {
  const data = Uint8Array.from(rows.join(''), (character) => (character === '#' ? 1 : 0));
  return { data, width: rows[0]!.length, height: rows.length };
}

/** By its definition: every inside pixel against every outside pixel, the frame around the image included. */
function farthest({ data, width, height }: BinaryMask): [number, number] | undefined {
  let best = 0;
  let point: [number, number] | undefined;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[y * width + x] === 0) continue;
      let nearest = Number.POSITIVE_INFINITY;
      for (let v = -1; v <= height; v++) {
        for (let u = -1; u <= width; u++) {
          const beyond = u < 0 || v < 0 || u === width || v === height;
          if (beyond || data[v * width + u] === 0) nearest = Math.min(nearest, (u - x) ** 2 + (v - y) ** 2);
        }
      }
      if (nearest > best) {
        best = nearest;
        point = [x, y];
      }
    }
  }
  return point;
}

describe('interiorPoint', () => {
  it('is the middle of a square, and the first of equals', () => {
    expect(interiorPoint(mask('.....', '.###.', '.###.', '.###.', '.....'))).toEqual([2, 2]);
    expect(interiorPoint(mask('......', '.####.', '.####.', '......'))).toEqual([1, 1]);
  });

  it('keeps away from the edge of the image as from any outside', () => {
    expect(interiorPoint(mask('#####', '#####', '#####', '.....'))).toEqual([1, 1]);
  });

  it('lies inside, never in a hole', () => {
    expect(interiorPoint(mask('#######', '#.....#', '#.....#', '#.....#', '####.##'))).toEqual([0, 0]);
  });

  it('finds the one pixel there is, and nothing in an empty mask', () => {
    expect(interiorPoint(mask('...', '..#'))).toEqual([2, 1]);
    expect(interiorPoint(mask('...', '...'))).toBeUndefined();
  });

  it('agrees with the definition on random masks', () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 48271) % 2147483647;
      return seed / 2147483647;
    };
    for (let round = 0; round < 60; round++) {
      const [width, height] = [1 + Math.floor(24 * random()), 1 + Math.floor(24 * random())];
      const share = [0.5, 0.9, 0.97, 1][round % 4]!;
      const data = Uint8Array.from({ length: width * height }, () => (random() < share ? 1 : 0));
      expect(interiorPoint({ data, width, height })).toEqual(farthest({ data, width, height }));
    }
  });
});

describe('truthPrompt', () => {
  it('gives the edges of the tight box', () => {
    const truth = mask('......', '..##..', '...#..', '......');
    expect(truthPrompt('gt-box', truth)).toEqual({ box: [2, 1, 4, 3] });
    expect(truthPrompt('gt-point', truth)).toEqual({ points: [[2, 1]] });
  });

  it('gives nothing for an empty truth', () => {
    expect(truthPrompt('gt-box', mask('..', '..'))).toBeUndefined();
    expect(truthPrompt('gt-point', mask('..', '..'))).toBeUndefined();
  });
});

describe('blindPrompts', () => {
  it('asks at the centre', () => {
    expect(blindPrompts('center', { width: 30, height: 21 }, 4)).toEqual([{ points: [[15, 10.5]] }]);
  });

  it('asks in the middle of equal rectangles, row by row', () => {
    expect(blindPrompts('grid', { width: 40, height: 20 }, 2).map(({ points }) => points![0])).toEqual([
      [10, 5],
      [30, 5],
      [10, 15],
      [30, 15],
    ]);
  });
});
