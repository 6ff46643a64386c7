// Every option of the command line, enumerated from lib/options: help, documentation, refusals, defaults.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { addFlags, flagName, optionsOf, type Texts } from '../../lib/cli/flags';
import { resolveSettings } from '../../lib/model/ba-sam';
import { benchShape, caseShapes } from '../../lib/options/bench';
import {
  encodeCommandShape,
  evaluateCommandShape,
  infoCommandShape,
  segmentCommandShape,
} from '../../lib/options/commands';
import { bare, spelled, spellingOf, withoutDefaults } from '../../lib/options/option';
import { encodeSchema } from '../../lib/options/sam';
import { settingsShape, ZERO_SHOT } from '../../lib/options/settings';
import { filePath } from '../../lib/options/validate';
import { ROOT } from '../cli/run';

const SHAPES: Readonly<Record<string, z.ZodRawShape>> = {
  encode: encodeCommandShape,
  segment: segmentCommandShape,
  evaluate: evaluateCommandShape,
  bench: benchShape,
  'bench attention': caseShapes.attention,
  'bench encoder': caseShapes.encoder,
  'bench decoder': caseShapes.decoder,
  'bench event-loop': caseShapes['event-loop'],
  info: infoCommandShape,
};

const flagsOf = (shape: z.ZodRawShape) => addFlags(new Command(), shape).options;

/** Names of options that anything but an empty path, or a text at all, is right for. */
const FREE = ['split'];

describe.each(Object.entries(SHAPES))('%s', (_, shape) => {
  const flags = flagsOf(shape).map((flag) => [flag.long!, flag] as const);

  it('has a flag for every option', () => {
    expect(flags.length).toBeGreaterThan(0);
    for (const [name, schema] of Object.entries(shape)) {
      const part = bare(schema);
      const own = part instanceof z.ZodObject ? part.shape : { [name]: schema };
      for (const one of Object.values(own)) {
        const spelling = spellingOf(one);
        expect(spelling, name).toBeDefined();
        expect(flags.map(([long]) => long)).toContain(flagName(spelling!));
      }
    }
  });

  it.each(flags)('%s is explained in --help and docs/cli.md', (long, flag) => {
    expect(flag.description.length).toBeGreaterThan(5);
    expect(readFileSync(path.join(ROOT, 'docs', 'cli.md'), 'utf8')).toMatch(new RegExp(`${long}\\b`));
  });

  const texts = flags.filter(([, flag]) => flag.required && !FREE.includes(flag.attributeName()));
  it.each(texts)('%s refuses a wrong text in its own name', (long, flag) => {
    const name = flag.attributeName();
    const other: Texts = ['slopes', 'start'].includes(name) ? { distance: 'euclidean' } : {};
    const read = (text: string) => optionsOf(shape, { out: 'o', output: 'o', ...other, [name]: many(text) });
    const many = (text: string) => (['point', 'box'].includes(name) ? [text] : text);
    // A path can be nearly anything.
    expect(() => read('\0')).toThrow(new RegExp(`^Expected .+ for ${long} but received "\\\\u0000"$`));
    expect(() => read('')).toThrow(new RegExp(`^Expected .+ for ${long} but received ""$`));
  });
});

describe('the distance penalty', () => {
  const full = { metric: 'manhattan', slopes: 0.1, start: 0 };

  it('without slopes and start is the same in every command and in the library', () => {
    expect(ZERO_SHOT.distance).toMatchObject({ slopes: full.slopes, start: full.start });
    const texts = { distance: 'manhattan', output: 'o', out: 'o' };
    for (const shape of [encodeCommandShape, segmentCommandShape, evaluateCommandShape]) {
      expect(optionsOf<z.ZodRawShape>(shape, texts).distance).toEqual(full);
    }
    expect(encodeSchema.parse({ distance: { metric: 'manhattan' } }).distance).toEqual(full);
    expect(resolveSettings({ distance: { metric: 'manhattan' } }, { heads: 2 }).distance).toEqual({
      ...full,
      slopes: [0.1, 0.1],
    });
  });

  it('needs its metric in every command', () => {
    for (const shape of [encodeCommandShape, segmentCommandShape, evaluateCommandShape]) {
      for (const part of ['slopes', 'start']) {
        expect(() => optionsOf(shape, { [part]: '1', output: 'o', out: 'o' })).toThrow(
          `Expected --distance together with --${part}: without a metric there is no distance penalty`,
        );
      }
    }
  });
});

describe('an option', () => {
  it('that is not given is absent, whatever its default', () => {
    expect(optionsOf(encodeCommandShape, { output: 'e.safetensors' })).toEqual({ output: 'e.safetensors' });
    expect(optionsOf(evaluateCommandShape, { out: 'o', pad: true, normalize: true })).toEqual({ out: 'o' });
    expect(z.strictObject(withoutDefaults(settingsShape)).parse({})).toEqual({});
    expect(z.strictObject(settingsShape).parse({})).toEqual({ mode: 'paper', lengthScale: false });
  });

  it('of whole numbers takes every one that its message allows', () => {
    const most = String(Number.MAX_SAFE_INTEGER);
    const texts = { output: 'e.safetensors', limitInputPixels: most };
    expect(optionsOf(encodeCommandShape, texts).limitInputPixels).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => optionsOf(encodeCommandShape, { ...texts, limitInputPixels: '9007199254740992' })).toThrow(
      'Expected integer between 1 and 9007199254740991 for --limit-input-pixels',
    );
  });

  it('keeps its own flag beside another one of the same type', () => {
    const [a, b] = [spelled(filePath, '--a <file>', 'one'), spelled(filePath, '--b <file>', 'other')];
    expect(flagsOf({ a, b }).map(({ long }) => long)).toEqual(['--a', '--b']);
    expect(spellingOf(filePath)).toBeUndefined();
    expect(spellingOf(z.optional(a.default('x')))?.flag).toBe('--a <file>');
  });
});
