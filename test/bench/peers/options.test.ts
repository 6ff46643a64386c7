// The command line of the peers' benchmark.
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { availableMemory_gb, parseOptions, UsageError } from '../../../bench/peers/options.mts';

const parse = (...argv: string[]) => parseOptions(argv, '/root-of-all');

describe('options', () => {
  it('have defaults', () => {
    const options = parse();
    expect(options).toMatchObject({
      ...{ help: false, sizes: [1024], model: 'vit-b', rounds: 3, runs: 3, timeout_s: 1800, json: undefined },
      ...{ threads: os.availableParallelism(), modules: process.cwd(), cache: '/root-of-all/.bench-peers' },
      peers: ['PyTorch SDPA', 'PyTorch eager', 'onnxruntime-node', 'ba-sam', 'transformers.js'],
    });
    expect(options.memory_gb).toBeGreaterThan(0.5 * availableMemory_gb());
    expect(options.memory_gb).toBeLessThan(0.95 * availableMemory_gb());
  });

  it('are taken as given', () => {
    const options = parse(
      ...['--sizes', '2048,512,512', '--model', 'tiny', '--peers', 'ba-sam,PyTorch eager', '--rounds', '1'],
      ...['--runs', '9', '--threads', '4', '--memory-gb', '1.5', '--timeout-s', '7', '--python', 'py'],
      ...['--node-modules', 'a/node_modules', '--cache', '/c', '--json', 'r.json'],
    );
    expect(options).toEqual({
      ...{
        help: false,
        sizes: [512, 2048],
        model: 'tiny',
        peers: ['ba-sam', 'PyTorch eager'],
        rounds: 1,
        runs: 9,
      },
      ...{ threads: 4, memory_gb: 1.5, timeout_s: 7, python: 'py', modules: path.resolve('a/node_modules') },
      ...{ cache: '/c', json: path.resolve('r.json') },
    });
  });

  it.each([
    [['--sizes', '1000'], 'Expected multiples of 16 between 64 and 8192 for --sizes but received 1000'],
    [['--sizes', '48'], 'Expected multiples of 16 between 64 and 8192 for --sizes but received 48'],
    [['--sizes', '1024,'], 'Expected multiples of 16 between 64 and 8192 for --sizes but received 1024,'],
    [['--model', 'vit-h'], 'Expected one of vit-b, tiny for --model but received vit-h'],
    [['--peers', 'ba-sam,opencv'], /^Expected some of PyTorch SDPA, .* for --peers but received opencv$/],
    [['--rounds', '0'], 'Expected integer between 1 and 100 for --rounds but received 0'],
    [['--runs', '1.5'], 'Expected integer between 1 and 1000 for --runs but received 1.5'],
    [['--threads', 'all'], 'Expected integer between 1 and 1024 for --threads but received all'],
    [['--memory-gb', '0'], /^Expected number between 0\.1 and [\d.]+ for --memory-gb but received 0$/],
    [['--memory-gb', '1e6'], /^Expected number between 0\.1 and [\d.]+ for --memory-gb but received 1e6$/],
    [['--timeout-s', ''], 'Expected integer between 1 and 86400 for --timeout-s but received '],
    [['--python='], 'Expected path for --python but received nothing'],
    [['--cache='], 'Expected path for --cache but received nothing'],
    [['--nothing'], /--nothing/],
    [['stray'], /stray/],
  ])('%j are refused', (argv, message) => {
    expect(() => parse(...argv)).toThrow(UsageError);
    expect(() => parse(...argv)).toThrow(message);
  });
});
