// Every way the package writes a file: what is there is respected, and nothing half-written is left.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeChart } from '../../lib/eval/chart';
import { writeLines } from '../../lib/eval/report';
import { Outputs, replaceFile } from '../../lib/files/outputs';
import { Embedding, writeMaskPng, writeOverlayPng, writeSafetensors } from '../../lib/index';

const ROOT = mkdtempSync(path.join(tmpdir(), 'ba-sam-out-'));
let folder: string;
const at = (name: string) => path.join(folder, name);
beforeEach(() => {
  folder = mkdtempSync(path.join(ROOT, 'f'));
});
afterAll(() => rmSync(ROOT, { recursive: true }));

const embedding = new Embedding(new Float32Array(4), [1, 1, 2, 2], {
  image: { width: 32, height: 32 },
  content: { width: 32, height: 32 },
  input: { width: 32, height: 32 },
  settings: { mode: 'paper', lengthScale: false, distance: null },
  dtype: 'f32',
});
const pixels = { data: new Uint8Array(12), width: 2, height: 2 };
const SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>';
const WRITERS: Readonly<Record<string, (file: string) => Promise<unknown>>> = {
  writeSafetensors: (file) =>
    writeSafetensors(file, [{ name: 'x', dtype: 'u8', shape: [1], data: new Uint8Array(1) }]),
  'Embedding.save': (file) => embedding.save(file),
  writeMaskPng: (file) => writeMaskPng(file, new Uint8Array(4), 2, 2),
  writeOverlayPng: (file) => writeOverlayPng(file, pixels, []),
  'results of an evaluation': (file) => writeLines(file, ['a', 'b']),
  'a chart': (file) => writeChart(file.replace('.png', ''), SVG),
  'an output of a command': async (file) => {
    const outputs = new Outputs();
    await outputs.write(file, (temporary) => writeFile(temporary, 'x'));
    await outputs.commit();
  },
};

describe.each(Object.entries(WRITERS))('%s', (_name, write) => {
  let sockets: string;
  let server: Server;
  beforeAll(async () => {
    sockets = mkdtempSync(path.join(ROOT, 's'));
    server = createServer();
    await new Promise<void>((resolve) => server.listen(path.join(sockets, 'o.png'), resolve));
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  it('refuses a FIFO, a socket and a folder, also behind a link, and leaves them', async () => {
    execFileSync('mkfifo', [at('fifo.png')]);
    symlinkSync(path.join(sockets, 'o.png'), at('socket.png'));
    mkdirSync(at('folder.png'));
    symlinkSync('fifo.png', at('link.png'));
    const before = readdirSync(folder);
    for (const name of before) {
      const { mode } = lstatSync(at(name));
      await expect(write(at(name))).rejects.toMatchObject({
        code: 'ERR_IO',
        message: expect.stringMatching(/^Cannot write .*: it is (not a regular file|a directory)$/),
      });
      expect(lstatSync(at(name)).mode).toBe(mode);
    }
    expect(readdirSync(folder).filter((name) => name.endsWith('.png'))).toEqual(before);
    expect(statSync(path.join(sockets, 'o.png')).isSocket()).toBe(true);
  });

  it('follows links, to a file or to nothing yet, and keeps permissions', async () => {
    mkdirSync(at('real'));
    mkdirSync(at('real/deep'));
    writeFileSync(at('real/old.png'), 'old');
    chmodSync(at('real/old.png'), 0o604);
    symlinkSync('real/old.png', at('o.png'));
    await write(at('o.png'));
    expect(lstatSync(at('o.png')).isSymbolicLink()).toBe(true);
    expect(readFileSync(at('real/old.png'), 'utf8')).not.toBe('old');
    expect(statSync(at('real/old.png')).mode & 0o777).toBe(0o604);

    // `..` behind a linked folder is that of the folder that it leads to.
    symlinkSync('real/deep', at('way'));
    symlinkSync('way/../new.png', at('o2.png'));
    await write(at('o2.png'));
    expect(lstatSync(at('o2.png')).isSymbolicLink()).toBe(true);
    expect(statSync(at('real/new.png')).isFile()).toBe(true);
    expect(readdirSync(at('real')).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

describe('a file', () => {
  it('is left as it was when its writer fails, whatever that throws', async () => {
    writeFileSync(at('o.txt'), 'old');
    for (const error of [new Error('mine'), 'a reason']) {
      const failing = replaceFile(at('o.txt'), async (temporary) => {
        writeFileSync(temporary, 'half');
        throw error;
      });
      await expect(failing).rejects.toBe(error);
    }
    const full = replaceFile(at('o.txt'), (temporary) => writeFile(`${temporary}/no`, ''));
    await expect(full).rejects.toMatchObject({
      code: 'ERR_IO',
      message: expect.stringContaining(at('o.txt')),
    });
    expect(readFileSync(at('o.txt'), 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['o.txt']);
  });

  it('may have a name as long as a file system takes it', async () => {
    for (const name of [`${'a'.repeat(251)}.png`, `a.${'b'.repeat(253)}`]) {
      await replaceFile(at(name), (temporary) => writeFile(temporary, 'x'));
      expect(existsSync(at(name))).toBe(true);
    }
    const longer = replaceFile(at('a'.repeat(256)), (temporary) => writeFile(temporary, 'x'));
    await expect(longer).rejects.toThrow(/: the name is too long$/);
  });

  it('cannot be a link to itself', async () => {
    symlinkSync('loop', at('loop'));
    const loop = replaceFile(at('loop'), (temporary) => writeFile(temporary, 'x'));
    await expect(loop).rejects.toMatchObject({
      code: 'ERR_IO',
      message: expect.stringMatching(/too many links$/),
    });
  });
});
