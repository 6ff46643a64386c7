// The first load of the addon, in a process that cannot open a file just then: the next call must find what is there.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, it } from 'vitest';
import { buildLibrary } from '../support/library';

buildLibrary();

const SCRIPT = `
  const { openSync, closeSync } = require('node:fs');
  const { backends } = require(process.env.BA_SAM_LIB);
  require('node-gyp-build'); // only the addon is left to open
  const held = [];
  try { for (;;) held.push(openSync('/dev/null')); } catch {}
  const [starved] = backends();
  held.forEach(closeSync);
  console.log(JSON.stringify([starved, backends()[0]]));`;

it('is tried again after there were too many open files', () => {
  const root = path.join(__dirname, '../..');
  const limited = ['-c', 'ulimit -n 256; exec "$0" -e "$1"', process.execPath, SCRIPT];
  const env = { ...process.env, BA_SAM_LIB: path.join(root, 'dist/index.js') };
  const { stdout, stderr } = spawnSync('sh', limited, { cwd: root, encoding: 'utf8', env });
  expect(stderr).toBe('');
  const [starved, later] = JSON.parse(stdout) as { available: boolean; reason?: string }[];
  expect(starved.reason).toMatch(/ba_sam\.node: .*too many open files/i);
  expect(later).toEqual({ backend: 'cpu', available: true });
});
