// What the documents tell people to type: TypeScript against the package's own types, examples and commands as they stand there.
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { baSam, DEMO, ROOT, temporaryFolder } from '../cli/run';
import { type Consumer, installPackage } from './tarball';

const text = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');

interface Block {
  readonly name: string;
  readonly code: string;
}

const BLOCKS: readonly Block[] = [
  'README.md',
  'docs/ops.md',
  'docs/evaluation.md',
  'docs/datasets.md',
].flatMap((file) =>
  [...text(file).matchAll(/^```ts\n(.*?)^```/gms)].map(([, code], index) => ({
    name: `${path.basename(file, '.md')}-${index}`,
    code,
  })),
);

describe('TypeScript in documents', () => {
  let consumer: Consumer;
  beforeAll(() => {
    consumer = installPackage();
  }, 120_000);
  afterAll(() => consumer?.remove());

  it('has the types of the package', () => {
    expect(BLOCKS.length).toBeGreaterThanOrEqual(4);
    const files = BLOCKS.map(({ name, code }) => {
      const file = `${name}.mts`;
      // A block is a module of its own, whether it imports anything or not.
      writeFileSync(path.join(consumer.folder, file), `${code}\nexport {};\n`);
      return file;
    });
    const options = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'node16', '--types', 'node'];
    const tsc = spawnSync(
      process.execPath,
      [path.join(ROOT, 'node_modules/typescript/bin/tsc'), ...options, ...files],
      { cwd: consumer.folder, encoding: 'utf8' },
    );
    expect(tsc.stdout + tsc.stderr).toBe('');
  });
});

describe('scripts', () => {
  const folder = temporaryFolder();

  it('examples/segment.mjs finds the shape that it points at', () => {
    const output = execFileSync(process.execPath, [path.join(ROOT, 'examples/segment.mjs')], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect(output).toMatch(/^score 0\.\d{3}, \d{4,} pixels\n$/);
    expect(['mask.png', 'overlay.png'].filter((file) => !existsSync(path.join(folder, file)))).toEqual([]);
  });

  it('examples/attention.cjs times every metric', () => {
    const script = path.join(ROOT, 'examples/attention.cjs');
    const output = execFileSync(process.execPath, [script, '8', '2', '16'], { encoding: 'utf8' });
    expect(output.match(/^\w+ +[\d.]+ ms/gm)).toHaveLength(4);
  });
});

describe('commands of docs/cli.md', () => {
  const folder = temporaryFolder();
  copyFileSync(DEMO, path.join(folder, 'demo.png'));
  copyFileSync(DEMO, path.join(folder, '-name.png'));
  symlinkSync(path.join(ROOT, 'models'), path.join(folder, 'models'));

  // Evaluations need a dataset, benchmarks minutes: tests of their own run those.
  const commands = [
    ...text('docs/cli.md').matchAll(/^ {4}\$ ba-sam ((?:info|encode|segment) .*)\n((?: {4}ba-sam: .*\n)?)/gm),
  ];

  it('are there', () => expect(commands.length).toBeGreaterThanOrEqual(11));

  it.each(commands.map(([, command, said]) => [command, said.trim()]))('%s', async (command, said) => {
    const { status, stderr } = await baSam(command.split(' '), { cwd: folder });
    expect(stderr.trim()).toBe(said);
    expect(status).toBe(said === '' ? 0 : 2);
  });
});
