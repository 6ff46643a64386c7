// The geometry of the encoder's input against values of the reference's preprocess().
import { describe, expect, test } from 'vitest';
import { inputGeometry, MAX_LONGEST_SIDE } from '../../lib/image/resize';
import { expectThrownSamError } from './helpers';

const base = { width: 1800, height: 1200, longestSide: 1024, pad: true, patch: 16 };

describe('inputGeometry', () => {
  test('pads to a square as SAM does', () => {
    expect(inputGeometry(base)).toEqual({
      scaledWidth: 1024,
      scaledHeight: 683, // int(682.67 + 0.5)
      inputWidth: 1024,
      inputHeight: 1024,
      gridW: 64,
      gridH: 64,
    });
  });

  test('without padding, each side becomes whole patches', () => {
    expect(inputGeometry({ ...base, pad: false })).toMatchObject({
      scaledHeight: 683,
      inputWidth: 1024,
      inputHeight: 688,
      gridW: 64,
      gridH: 43,
    });
    expect(
      inputGeometry({ ...base, width: 1200, height: 1800, longestSide: 1500, pad: false }),
    ).toMatchObject({
      scaledWidth: 1000,
      scaledHeight: 1500,
      inputWidth: 1008,
      inputHeight: 1504,
    });
  });

  test('a longestSide between patches is padded up', () => {
    expect(inputGeometry({ ...base, longestSide: 1000 })).toMatchObject({
      scaledWidth: 1000,
      inputWidth: 1008,
      inputHeight: 1008,
      gridW: 63,
      gridH: 63,
    });
  });

  test('rounds half up', () => {
    expect(inputGeometry({ ...base, width: 1024, height: 5, longestSide: 512 })).toMatchObject({
      scaledHeight: 3,
    });
    expect(inputGeometry({ ...base, width: 1024, height: 1, longestSide: 512 })).toMatchObject({
      scaledHeight: 1,
    });
  });

  test('no side vanishes', () => {
    expect(inputGeometry({ ...base, width: 100_000, height: 1, pad: false })).toMatchObject({
      scaledWidth: 1024,
      scaledHeight: 1,
      inputHeight: 16,
    });
    expect(inputGeometry({ ...base, width: 1, height: 1, longestSide: 1, pad: false })).toMatchObject({
      gridW: 1,
      gridH: 1,
    });
  });

  test('never exceeds longestSide, whatever the rounding', () => {
    for (let side = 1; side < 5000; side += 7) {
      const g = inputGeometry({ ...base, width: side, height: 1 + (side % 321) });
      expect(Math.max(g.scaledWidth, g.scaledHeight)).toBe(1024);
    }
  });

  test('rejects what is no size', () => {
    const bad = (options: object, text: string) =>
      expectThrownSamError(() => inputGeometry({ ...base, ...options }), 'ERR_INVALID_ARGUMENT', text);
    const range = `Expected integer between 1 and ${MAX_LONGEST_SIDE} for longestSide but received`;
    bad({ longestSide: 0 }, `${range} 0 of type number`);
    bad({ longestSide: 1024.5 }, range);
    bad({ longestSide: MAX_LONGEST_SIDE + 1 }, range);
    bad({ longestSide: '1024' }, `${range} "1024" of type string`);
    bad({ longestSide: Number.NaN }, range);
    bad({ width: 0 }, 'positive integer for width');
    bad({ height: -1 }, 'positive integer for height');
    bad({ patch: 0 }, 'for patch');
    bad({ pad: 'yes' }, 'Expected boolean for pad but received "yes" of type string');
  });
});
