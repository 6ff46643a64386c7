// What the addon's error recommends where there is no prebuild, `npm run build:native` in the installed package: with npm's own
// node-gyp, and a compiler that only pretends.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Consumer, installPackage, ROOT } from './tarball';

// Writes what it is asked for, empty.
const COMPILER = `#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in -o) : > "$2"; shift ;; -MF) echo "x:" > "$2"; shift ;; esac
  shift
done
`;

it('finds no oneDNN that is too old to be of use', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'ba-sam-onednn-'));
  const include = path.join(folder, 'include/oneapi/dnnl');
  mkdirSync(include, { recursive: true });
  writeFileSync(path.join(include, 'dnnl.hpp'), '');
  writeFileSync(
    path.join(include, 'dnnl_version.h'),
    '#define DNNL_VERSION_MAJOR 2\n#define DNNL_VERSION_MINOR 0\n',
  );
  const { status, stderr } = spawnSync(process.execPath, [path.join(ROOT, 'scripts/find-onednn.mjs')], {
    encoding: 'utf8',
    env: { ...process.env, ONEDNN_ROOT: folder },
  });
  rmSync(folder, { recursive: true });
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: `ba-sam: oneDNN 2.2 or later is needed but ${folder} has 2.0. Install a later one and set ONEDNN_ROOT.\n`,
  });
});

describe('an installed package', () => {
  let consumer: Consumer;
  beforeAll(() => {
    consumer = installPackage();
    rmSync(path.join(consumer.packageFolder, 'prebuilds'), { recursive: true, force: true });
  });
  afterAll(() => consumer?.remove());

  const reasons = () =>
    execFileSync(
      process.execPath,
      ['-e', "console.log(JSON.stringify(require('ba-sam').backends().map(({ reason }) => reason)))"],
      {
        cwd: consumer.folder,
        encoding: 'utf8',
        env: { ...process.env, BA_SAM_ADDON: '', BA_SAM_CUDA_ADDON: '' },
      },
    );

  it('recommends what it has, and for CUDA a clone', () => {
    const [cpu, cuda] = JSON.parse(reasons()) as string[];
    expect(cpu).toContain(`Build it with \`npm run build:native\` in ${consumer.packageFolder} `);
    expect(cpu).toMatch(
      /build\/Release\/ba_sam\.node: not there; .*prebuilds\/linux-x64: not there|prebuilds\/linux-x64: not there; /,
    );
    expect(cuda).toMatch(
      /^The CUDA addon of ba-sam could not be loaded\. It does not come with this package: .* in a clone /,
    );
  });

  it('says which glibc its prebuild needs where there is an older one', () => {
    const folder = path.join(consumer.packageFolder, 'prebuilds', `${process.platform}-${process.arch}`);
    const manifest = path.join(consumer.packageFolder, 'package.json');
    const text = readFileSync(manifest, 'utf8');
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, 'ba-sam.glibc.node'), 'no library');
    const first = () => (JSON.parse(reasons()) as string[])[0];
    expect(first()).toMatch(
      /could not be loaded\. Build it .*ba-sam\.glibc\.node: .*(too short|invalid ELF)/,
    );
    writeFileSync(manifest, text.replace('"glibc": "2.34"', '"glibc": "2.100"'));
    expect(first()).toMatch(
      /could not be loaded\. The prebuilt one needs glibc 2\.100 or later, and this system has glibc 2\.\d\d\. Build it /,
    );
    writeFileSync(manifest, text);
    rmSync(folder, { recursive: true });
  });

  it('is built by what it recommends, with the node-gyp that npm brings', () => {
    const compiler = path.join(consumer.folder, 'c++');
    writeFileSync(compiler, COMPILER);
    chmodSync(compiler, 0o755);
    const { PATH, HOME } = process.env;
    const env = { PATH, HOME, CXX: compiler, CC: compiler, AR: compiler, LINK: compiler };
    const { status, stdout, stderr } = spawnSync('npm', ['run', 'build:native'], {
      cwd: consumer.packageFolder,
      encoding: 'utf8',
      env: env as NodeJS.ProcessEnv,
    });
    expect({ status, said: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, said: '' });
    expect(existsSync(path.join(consumer.packageFolder, 'build/Release/ba_sam.node'))).toBe(true);
  });

  it('says how, when it is built without npm', () => {
    const script = path.join(consumer.packageFolder, 'scripts/build-native.mjs');
    const { PATH } = process.env;
    const { status, stderr } = spawnSync(process.execPath, [script], {
      encoding: 'utf8',
      env: { PATH } as NodeJS.ProcessEnv,
    });
    expect(status).toBe(1);
    expect(stderr).toBe(
      'ba-sam: node-gyp was not found. Build with npm, which brings what is needed: npm run build:native\n',
    );
  });
});
