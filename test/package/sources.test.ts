// The native sources, as the builds get them: a file that belongs to no addon would go unnoticed until something of it is missing.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from './tarball';

function listed(...args: string[]): string[] {
  const script = path.join(ROOT, 'scripts/native-sources.mjs');
  return execFileSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
    .trimEnd()
    .split('\n');
}

describe('native/build.options', () => {
  it('gives every source of native/ to an addon, or to the tests', () => {
    const files = readdirSync(path.join(ROOT, 'native'), { recursive: true, encoding: 'utf8' });
    const sources = files.filter((name) => /\.(cpp|cu)$/.test(name)).map((name) => `native/${name}`);
    const addons = listed('cpu-addon', 'cuda-addon');
    const cases = listed('cases');
    expect([...addons, ...cases].sort()).toEqual(sources.sort());
    expect(addons.filter((name) => cases.includes(name))).toEqual([]);
  });

  it('keeps CUDA out of the CPU addon', () => {
    expect(listed('cpu-addon').filter((name) => /cuda|\.cu$/.test(name))).toEqual([]);
  });

  it('has values that are no sources, one a line', () => {
    expect(listed('--option', 'addon-defines')).toContain('NAPI_VERSION=8');
    expect(() => listed('--option', 'nothing')).toThrow();
    expect(() => listed('nothing')).toThrow();
  });
});
