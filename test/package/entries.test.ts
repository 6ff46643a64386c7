// What users of the package meet: both module systems, types under each way to resolve them, the command, no build step.
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Consumer, installPackage, ROOT } from './tarball';

let consumer: Consumer;

beforeAll(() => {
  consumer = installPackage();
}, 120_000);
afterAll(() => consumer?.remove());

function runNode(file: string, source: string): string {
  writeFileSync(path.join(consumer.folder, file), source);
  return execFileSync(process.execPath, [file], { cwd: consumer.folder, encoding: 'utf8' });
}

describe('entries', () => {
  it('lead to the evaluation under a name of its own', () => {
    const output = runNode(
      'eval.mjs',
      `import { createRequire } from 'node:module';
       import * as esm from 'ba-sam/eval';
       const cjs = createRequire(import.meta.url)('ba-sam/eval');
       const names = Object.keys(cjs).sort();
       if (names.join() !== Object.keys(esm).sort().join()) throw new Error('other names: ' + Object.keys(esm));
       for (const name of names) if (esm[name] !== cjs[name]) throw new Error(name + ' differs');
       console.log(typeof esm.evaluate, 'evaluate' in createRequire(import.meta.url)('ba-sam'));`,
    );
    expect(output.trim()).toBe('function false');
  });

  it('are the same classes for import and require', () => {
    const output = runNode(
      'entries.mjs',
      `import { createRequire } from 'node:module';
       import * as esm from 'ba-sam';
       import { Sam } from 'ba-sam';
       const cjs = createRequire(import.meta.url)('ba-sam');
       const names = Object.keys(cjs).sort();
       if (names.join() !== Object.keys(esm).sort().join()) throw new Error('other names: ' + Object.keys(esm));
       for (const name of names) if (esm[name] !== cjs[name]) throw new Error(name + ' differs');
       if (Sam !== cjs.Sam || typeof Sam.load !== 'function') throw new Error('Sam');
       console.log(names.length);`,
    );
    expect(Number(output)).toBeGreaterThan(20);
  });

  it('lets an error from one side be caught on the other', () => {
    const output = runNode(
      'errors.cjs',
      `const { Sam } = require('ba-sam');
       import('ba-sam').then(({ SamError }) =>
         Sam.load('/does/not/exist.safetensors').catch((error) => console.log(error instanceof SamError, error.code)));`,
    );
    expect(output.trim()).toMatch(/^true ERR_/);
  });
});

describe('types', () => {
  const source = `
    import { Sam, SamError, ops, type Prediction, type LoadOptions } from 'ba-sam';
    import { evaluate, type EvaluateOptions } from 'ba-sam/eval';
    export const evaluation: EvaluateOptions = { dataset: 'folder', root: '.', out: 'out', attention: ['length-scale+distance'] };
    export const images = async () => (await evaluate(evaluation)).means[0]?.values.iou?.toFixed(2);
    const options: LoadOptions = { dtype: 'bf16', lengthScale: true };
    export async function best(file: string): Promise<Uint8Array> {
      await using sam = await Sam.load(file, options);
      const embedding = await sam.encode('photo.jpg', { longestSide: 512 });
      const prediction: Prediction = await sam.predict(embedding, { points: [[1, 2]] });
      return prediction.best.data;
    }
    export const code = (error: unknown) => (error instanceof SamError ? error.code : undefined);
    export const linear: typeof ops.linear = ops.linear;
    // @ts-expect-error: an unknown option is an error, so the types are not any
    await Sam.load('file', { nothing: 1 });
    // @ts-expect-error: not exported
    export { nothing } from 'ba-sam';
    export {};
  `;
  // CommonJS has no await outside functions.
  const commonjs = source.replace(/await Sam\.load\('file'/, "void Sam.load('file'");

  it.each([
    ['node16 from ESM', 'consumer.mts', 'node16', 'node16', source],
    ['node16 from CommonJS', 'consumer.cts', 'node16', 'node16', commonjs],
    ['bundler', 'consumer-bundler.ts', 'esnext', 'bundler', source],
  ])('resolve with %s', (_, file, module, moduleResolution, text) => {
    writeFileSync(path.join(consumer.folder, file), text);
    const options = ['--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2023,esnext.disposable'];
    const tsc = spawnSync(
      process.execPath,
      [
        path.join(ROOT, 'node_modules/typescript/bin/tsc'),
        ...[...options, '--types', 'node', '--module', module, '--moduleResolution', moduleResolution, file],
      ],
      { cwd: consumer.folder, encoding: 'utf8' },
    );
    expect(tsc.stdout + tsc.stderr).toBe('');
    expect(tsc.status).toBe(0);
  });
});

describe('tarball', () => {
  const page = (file: string) => readFileSync(path.join(consumer.packageFolder, file), 'utf8');

  it('holds what is needed at run time and nothing of the tests', () => {
    const paths = consumer.files.map((file) => file.path);
    for (const needed of [
      'dist/index.js',
      'dist/index.mjs',
      'dist/index.d.ts',
      'dist/index.d.mts',
      'dist/cli/main.js',
      'dist/eval/index.mjs',
      'dist/eval/worker.js',
      'models/sam-nano.safetensors',
      'binding.gyp',
      'CMakeLists.txt',
      'native/core/plan.cpp',
      'scripts/native-sources.mjs',
      'LICENSE',
      'README.md',
      'CHANGELOG.md',
      'CONTRIBUTING.md',
    ]) {
      expect(paths).toContain(needed);
    }
    expect(
      paths.filter((name) =>
        /^(test|tools|bench|build|shared|examples|\.ci)\/|\.test\.|\.o$|\.tgz$/.test(name),
      ),
    ).toEqual([]);
  });

  it('holds no compiled file whose source is gone, and every one whose source is there', () => {
    const compiled = consumer.files.map((file) => file.path).filter((name) => /^dist\/.*\.js$/.test(name));
    const sources = readdirSync(path.join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' });
    // The demo is about a picture of the repository.
    const expected = sources
      .filter((name) => name.endsWith('.ts') && name !== 'demo.ts')
      .map((name) => `dist/${name.slice(0, -3)}.js`);
    expect(compiled.sort()).toEqual(expected.sort());
  });

  it('leads from README.md to files and headings that it holds', () => {
    const anchors = (file: string) =>
      [...page(file).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
        heading
          .toLowerCase()
          .replace(/[^\w\- ]/g, '')
          .replaceAll(' ', '-'),
      );
    const links = [...page('README.md').matchAll(/\]\((?!https?:)([^)#]*)#?([^)]*)\)/g)];
    expect(links.length).toBeGreaterThanOrEqual(9);
    const paths = consumer.files.map((file) => file.path);
    for (const [, file, anchor] of links) {
      if (file) expect(paths).toContain(file);
      if (anchor) expect(anchors(file || 'README.md')).toContain(anchor);
    }
  });

  it('holds no source maps: their sources stay behind', () => {
    expect(consumer.files.map((file) => file.path).filter((name) => /^dist.*\.map$/.test(name))).toEqual([]);
    expect(page('dist/index.js')).not.toContain('sourceMappingURL');
  });

  it('is not packed without what it needs: it is built before', () => {
    const { scripts } = JSON.parse(page('package.json'));
    expect(scripts.prepack).toBe('npm run build:ts');
    expect(scripts.prepublishOnly).toBe('node scripts/check-floor.mjs');
  });

  it('holds every native source of the addons, and none that needs the tests', () => {
    const native = consumer.files
      .map((file) => file.path)
      .filter((name) => /^native\/.*\.(cpp|cu)$/.test(name));
    const script = path.join(ROOT, 'scripts/native-sources.mjs');
    const addons = execFileSync(process.execPath, [script, 'cpu-addon', 'cuda-addon'], { encoding: 'utf8' });
    expect(native.sort()).toEqual(addons.trimEnd().split('\n').sort());
  });

  it('has no script that runs at installation, and npm would not build it', () => {
    const manifest = JSON.parse(readFileSync(path.join(consumer.packageFolder, 'package.json'), 'utf8'));
    // With binding.gyp in the package, npm runs node-gyp unless this is false.
    expect(manifest.gypfile).toBe(false);
    for (const name of ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish']) {
      expect(manifest.scripts).not.toHaveProperty(name);
    }
    // npm would run it before every `npm run build`.
    expect(manifest.scripts).not.toHaveProperty('prebuild');
  });

  it('has dependencies that install without scripts, too', () => {
    const lock = JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8'));
    const scripted = Object.entries<{ hasInstallScript?: boolean; dev?: boolean; optional?: boolean }>(
      lock.packages,
    )
      .filter(([, entry]) => entry.hasInstallScript && !entry.optional)
      .map(([name]) => name);
    expect(scripted).toEqual([]);
  });

  it('has an executable command', () => {
    const main = path.join(consumer.packageFolder, 'dist/cli/main.js');
    expect(readFileSync(main, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    expect(statSync(main).mode & 0o111).toBe(0o111);
    const help = execFileSync(main, ['--help'], { encoding: 'utf8' });
    expect(help).toMatch(/segment/);
  });
});
