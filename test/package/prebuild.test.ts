// The prebuild in a clean folder: the unpacked tarball without build/. The libraries in use must be those beside the addon
// although the system has its own, and a picture must come out segmented.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aboveFloor } from '../../scripts/check-floor.mjs';
import { type Consumer, installPackage, ROOT } from './tarball';

const PREBUILD = path.join(ROOT, 'prebuilds', `${process.platform}-${process.arch}`);
const build = !!process.env.CI || existsSync(PREBUILD);
if (!build) console.warn('prebuild.test.ts: skipped, there is no prebuild; make one: npm run prebuildify');

describe.skipIf(!build)('prebuild', () => {
  let consumer: Consumer;

  beforeAll(() => {
    // An old prebuild would prove nothing.
    if (process.env.CI)
      execFileSync('npm', ['run', '--silent', 'prebuildify'], { cwd: ROOT, stdio: 'ignore' });
    consumer = installPackage();
  }, 600_000);
  afterAll(() => consumer?.remove());

  it('brings the libraries it needs and their licences', () => {
    const folder = path.join(consumer.packageFolder, 'prebuilds', `${process.platform}-${process.arch}`);
    const names = readdirSync(folder);
    expect(names.some((name) => name.endsWith('.node'))).toBe(true);
    expect(names.some((name) => /^libdnnl\.so\.\d/.test(name))).toBe(true);
    expect(names).toContain('libgomp.so.1');
    const libraries = names.filter((name) => name.includes('.so.'));
    expect(readdirSync(path.join(folder, 'licenses')).sort()).toEqual(libraries.map((name) => `${name}.txt`));
    console.log(`tarball: ${(consumer.tarball_bytes / 2 ** 20).toFixed(1)} MiB`);
  });

  it('asks for nothing newer than glibc 2.34 and what comes with it', () => {
    expect(aboveFloor(PREBUILD, '2.34')).toEqual([]);
    expect(aboveFloor(PREBUILD, '2.33')).toContainEqual(expect.stringMatching(/\.node needs GLIBC_2\.34$/));
  });

  it('loads without a build of its own and maps its own libraries', () => {
    expect(existsSync(path.join(consumer.packageFolder, 'build'))).toBe(false);
    const { addon, libraries, inside, outside } = segment();
    expect(addon).toContain(`${path.sep}prebuilds${path.sep}`);
    for (const library of libraries) expect(path.dirname(library)).toBe(path.dirname(addon));
    expect(libraries.map((file) => path.basename(file).split('.so')[0])).toEqual(
      expect.arrayContaining(['libdnnl', 'libgomp']),
    );
    // A bright square on a dark ground, one point inside: most of it must be in the mask, most of the ground not.
    expect(inside).toBeGreaterThan(0.8);
    expect(outside).toBeLessThan(0.2);
  });

  it('does not prefer libraries from LD_LIBRARY_PATH', () => {
    const folder = path.join(consumer.folder, 'decoy');
    mkdirSync(folder);
    for (const name of readdirSync(PREBUILD).filter((file) => file.includes('.so.'))) {
      writeFileSync(path.join(folder, name), readFileSync(path.join(PREBUILD, name)));
    }
    const { addon, libraries } = segment({ LD_LIBRARY_PATH: folder });
    for (const library of libraries) expect(path.dirname(library)).toBe(path.dirname(addon));
  });

  function segment(env: Record<string, string> = {}): {
    addon: string;
    libraries: string[];
    inside: number;
    outside: number;
  } {
    const script = path.join(consumer.folder, 'segment.cjs');
    writeFileSync(
      script,
      `const { readFileSync } = require('node:fs');
       const { Sam } = require('ba-sam');
       (async () => {
         const side = 64, data = new Uint8Array(side * side * 3).fill(40);
         const isInside = (i) => Math.floor(i / side) >= 20 && Math.floor(i / side) < 44 && i % side >= 16 && i % side < 48;
         for (let i = 0; i < side * side; i++) if (isInside(i)) data.fill(220, 3 * i, 3 * i + 3);
         const sam = await Sam.load();
         const { best } = await sam.segment({ data, width: side, height: side, channels: 3 }, { points: [[32, 32]] });
         await sam.dispose();
         let inside = 0, outside = 0, area = 0;
         for (let i = 0; i < side * side; i++) {
           if (isInside(i)) { area++; inside += best.data[i]; } else outside += best.data[i];
         }
         const maps = [...new Set(readFileSync('/proc/self/maps', 'utf8').match(/\\/\\S+$/gm))];
         console.log(JSON.stringify({
           addon: maps.find((file) => /\\.node$/.test(file) && file.includes('ba-sam')),
           libraries: maps.filter((file) => /lib(dnnl|gomp|OpenCL)\\.so/.test(file)),
           inside: inside / area,
           outside: outside / (side * side - area),
         }));
       })();`,
    );
    const clean = { ...process.env, ...env };
    delete clean.BA_SAM_ADDON;
    return JSON.parse(
      execFileSync(process.execPath, [script], { cwd: consumer.folder, encoding: 'utf8', env: clean }),
    );
  }
});
