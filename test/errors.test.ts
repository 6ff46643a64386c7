// Messages: what they show of a value, and that nothing in them steers a terminal or a log.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { invalidArgument, SamError, describe as shown, typeName, visible } from '../lib/errors';
import { encodeSchema } from '../lib/options/sam';
import { parse } from '../lib/options/validate';

describe('a message', () => {
  it.each([
    ['a line end', 'a\r\n\tb', 'a\\r\\n\\tb'],
    ['a terminal sequence', '\u001b[31m\u0007\u007f', '\\u001b[31m\\u0007\\u007f'],
    ['a C1 control', '\u009b31m\u0085', '\\u009b31m\\u0085'],
    [
      'direction marks',
      '\u202egnp.exe\u2066\u2069\u200e\u200f\u061c',
      '\\u202egnp.exe\\u2066\\u2069\\u200e\\u200f\\u061c',
    ],
    ['line and paragraph separators', '\u2028\u2029', '\\u2028\\u2029'],
    ['halves of a pair', '\ud800x\udc00', '\\ud800x\\udc00'],
  ])('escapes %s', (_name, text, expected) => {
    expect(new SamError('ERR_IO', `Cannot read ${text}`).message).toBe(`Cannot read ${expected}`);
    expect(invalidArgument('x', 'path', text).message).not.toMatch(/\p{Cc}|[\u2028-\u202e\u2066-\u2069]/u);
    expect(visible(visible(text))).toBe(expected);
  });

  it('leaves what people write in names', () => {
    const text = 'naïve ü 日本語 नमस्ते 👩‍👩‍👧 עברית C:\\n';
    expect(new SamError('ERR_IO', text).message).toBe(text);
  });
});

describe('a value', () => {
  const trap = () => {
    throw new Error('trap');
  };
  const { proxy: revoked, revoke } = Proxy.revocable({}, {});
  revoke();

  it('is told without running its code', () => {
    const told: [value: unknown, text: string | RegExp, type: string][] = [
      ['a "b"', '"a \\"b\\""', 'string'],
      [[1, 'a', Number.NaN, null], '[1,"a",NaN,null]', 'array'],
      [new Float32Array(1e6), 'Float32Array(1000000)', 'Float32Array'],
      [new DataView(new ArrayBuffer(3)), 'DataView(3)', 'DataView'],
      [{ data: new Uint8Array(1e7) }, /^\{ data: Uint8Array\(10000000\) \[ 0, 0/, 'object'],
      [null, 'null', 'null'],
      [3n, '3n', 'bigint'],
      [Symbol('s'), 'Symbol(s)', 'symbol'],
      [new Error('with a stack'), 'an error', 'object'],
      [{ toString: trap, toJSON: trap, [Symbol.toPrimitive]: trap }, /toString/, 'object'],
      [Object.defineProperty({}, 'x', { get: trap, enumerable: true }), '{ x: [Getter] }', 'object'],
      [new Proxy({}, { get: trap, ownKeys: trap }), '{}', 'proxy'],
      [revoked, '<Revoked Proxy>', 'proxy'],
    ];
    for (const [value, text, type] of told) {
      if (typeof text === 'string') expect(shown(value)).toBe(text);
      else expect(shown(value)).toMatch(text);
      expect(typeName(value)).toBe(type);
    }
  });

  it('is cut off', () => {
    for (const long of ['x'.repeat(1e6), new Array(1e6).fill(1), { a: 'y'.repeat(1e6) }]) {
      expect(shown(long).length).toBeLessThanOrEqual(120);
    }
  });
});

it('options with long or many unknown names have a short message', () => {
  const options = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`${i}`.repeat(10_000), 1]));
  expect(() => parse(encodeSchema, options, 'options')).toThrow(
    /^Expected known options for options .{1,400}$/,
  );
});

it('options that cannot be read are an argument error', () => {
  const options = Object.defineProperty({}, 'longestSide', {
    enumerable: true,
    get: () => {
      throw new RangeError('mine');
    },
  });
  const error = (() => {
    try {
      return parse(encodeSchema, options, 'options');
    } catch (reason) {
      return reason;
    }
  })();
  expect(error).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', cause: expect.any(RangeError) });
});

it('every code stands in README.md', () => {
  const source = readFileSync(path.join(__dirname, '..', 'lib', 'errors.ts'), 'utf8');
  const codes = [...source.matchAll(/^ {2}\| '(ERR_\w+)'/gm)].map(([, code]) => code!);
  expect(codes.length).toBeGreaterThan(10);
  const readme = readFileSync(path.join(__dirname, '..', 'README.md'), 'utf8');
  expect(codes.filter((code) => !readme.includes(`\`${code}\``))).toEqual([]);
});
