import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { Journal } from '../../../lib/eval/journal';
import type { EvaluationRow } from '../../../lib/eval/journal-entries';
import { lineOf } from '../../../lib/eval/journal-lines';
import { temporaryFolder } from './drawn';

const folder = temporaryFolder();
const fingerprint = { version: '1', sizes: [256, 512], split: null };
const row = (sample: number, cell: number): EvaluationRow => ({
  sample,
  cell,
  values: { mae: 0.1 + sample / 3, AP: null },
  state: { sums: [sample / 7, 1e-300, cell] },
});

let file: string;
let count = 0;
beforeEach(() => {
  file = path.join(folder, `journal-${count++}.jsonl`);
});

async function written(entries: Parameters<Journal['append']>[0][]): Promise<void> {
  const journal = await Journal.create(file, fingerprint, 4, 2);
  await Promise.all(entries.map((entry) => journal.append(entry)));
  await journal.close();
}

const resume = (changed = {}) => Journal.resume(file, { ...fingerprint, ...changed }, 4, 2);

describe('Journal', () => {
  it('gives back every number as it was, in any order', async () => {
    await written([row(2, 1), row(0, 0), { sample: 3, reason: 'gone — ümlaut' }, row(2, 0)]);
    const journal = await resume();
    expect(await journal.read(0, 0)).toEqual(row(0, 0));
    expect(await journal.read(2, 1)).toEqual(row(2, 1));
    expect(await journal.read(2, 0)).toEqual(row(2, 0));
    expect([journal.has(0, 0), journal.has(0, 1), journal.has(3, 0), journal.rows]).toEqual([
      ...[true, false, false],
      3,
    ]);
    expect([journal.failure(3), journal.failure(2)]).toEqual(['gone — ümlaut', undefined]);
    await journal.close();
  });

  it('goes on after a torn last line, wherever it was torn', async () => {
    await written([row(0, 0), row(1, 0)]);
    const whole = readFileSync(file);
    const lastLine = whole.lastIndexOf(10, whole.length - 2) + 1;
    for (let end = lastLine; end < whole.length; end += 7) {
      writeFileSync(file, whole.subarray(0, end));
      const journal = await resume();
      expect(journal.rows).toBe(1);
      await journal.append(row(1, 0));
      await journal.append(row(3, 1));
      expect(await journal.read(3, 1)).toEqual(row(3, 1));
      await journal.close();
      const again = await resume();
      expect(again.rows).toBe(3);
      expect(await again.read(1, 0)).toEqual(row(1, 0));
      await again.close();
    }
  });

  it('treats a complete but meaningless last line as torn', async () => {
    await written([row(0, 0)]);
    appendFileSync(file, '\0\0\0\0\n');
    const journal = await resume();
    expect(journal.rows).toBe(1);
    await journal.close();
    expect(readFileSync(file, 'utf8').trimEnd().split('\n')).toHaveLength(2);
  });

  it('reads lines longer than its buffer', async () => {
    const long: EvaluationRow = { ...row(0, 0), state: 'x'.repeat(3_000_000) };
    await written([long, row(1, 1)]);
    const journal = await resume();
    expect(await journal.read(0, 0)).toEqual(long);
    expect(await journal.read(1, 1)).toEqual(row(1, 1));
    await journal.close();
  });

  it('names a damaged line before the last', async () => {
    await written([row(0, 0)]);
    appendFileSync(file, Buffer.concat([lineOf({ sample: 1 }), lineOf(row(1, 0))]));
    await expect(resume()).rejects.toThrow(`${file}: expected a row in line 3 but found damaged text`);
  });

  it('names a line of which one bit has changed, and drops it where it is the last', async () => {
    await written([row(0, 0), row(1, 0), row(2, 0)]);
    const whole = readFileSync(file);
    const lines = whole.toString('latin1').split('\n');
    const second = lines[0]!.length + 1 + lines[1]!.length + 1;
    const third = second + lines[2]!.length + 1;
    // In a name, a number, the checksum, and the end of the line before.
    for (const at of [second + 4, second + lines[2]!.indexOf('0.') + 3, third - 5, second - 1]) {
      const changed = Buffer.from(whole);
      changed[at]! ^= 1;
      writeFileSync(file, changed);
      const line = at < second ? 2 : 3;
      await expect(resume()).rejects.toThrow(
        `${file}: expected a row in line ${line} but found damaged text`,
      );
    }
    const changed = Buffer.from(whole);
    changed[third + 30]! ^= 1;
    writeFileSync(file, changed);
    const journal = await resume();
    expect(journal.rows).toBe(2);
    await journal.close();
  });

  it('finds damage that comes while it is open', async () => {
    const journal = await Journal.create(file, fingerprint, 4, 2);
    await journal.append(row(0, 0));
    writeFileSync(file, readFileSync(file, 'utf8').replace('"cell":0', '"cell":1'));
    await expect(journal.read(0, 0)).rejects.toMatchObject({
      code: 'ERR_IO',
      message: `Cannot read ${file}: it changed meanwhile`,
    });
    await journal.close();
  });

  it('is complete from its first moment on, and leaves nothing beside it', async () => {
    const alone = path.join(folder, 'alone');
    mkdirSync(alone);
    // What a process that was killed while it began has left.
    writeFileSync(path.join(alone, 'j.part'), 'half a li');
    const journal = await Journal.create(path.join(alone, 'j'), fingerprint, 1, 1);
    expect(readdirSync(alone)).toEqual(['j']);
    await journal.close();
  });

  it.each(['folder', 'pipe', 'device'])('refuses a %s in its place, at once', async (kind) => {
    if (kind === 'folder') mkdirSync(file);
    else if (kind === 'pipe') execFileSync('mkfifo', [file]);
    else file = '/dev/null';
    const what = kind === 'folder' ? 'a directory' : 'not a regular file';
    const error = {
      code: 'ERR_IO',
      message: `Cannot use ${file} as the journal of an evaluation: it is ${what}`,
    };
    await expect(Journal.exists(file)).rejects.toMatchObject(error);
    await expect(Journal.create(file, fingerprint, 1, 1)).rejects.toMatchObject(error);
    if (kind !== 'folder') {
      await expect(resume()).rejects.toMatchObject(error);
      await expect(Journal.check(file, fingerprint)).rejects.toMatchObject(error);
    }
  });

  it('says that a journal without checksums is of an earlier version', async () => {
    writeFileSync(file, `${JSON.stringify({ format: 'ba-sam-evaluation-1', fingerprint })}\n`);
    await expect(resume()).rejects.toThrow(
      'expected rows with checksums but found the journal of an earlier',
    );
  });

  it('takes rows of no sample or cell for damage', async () => {
    for (const bad of [row(4, 0), row(0, 2), row(-1, 0), row(0.5, 0)]) {
      await written([bad, row(0, 0)]);
      await expect(resume()).rejects.toThrow('expected a row in line 2');
    }
  });

  it('names the first option that differs', async () => {
    await written([]);
    for (const attempt of [resume({ sizes: [256] }), Journal.check(file, { ...fingerprint, sizes: [256] })]) {
      await expect(attempt).rejects.toThrow(
        `${file}: expected the options that the evaluation was begun with but sizes was [256,512] and is [256] now`,
      );
    }
    await expect(resume({ prompt: 'grid' })).rejects.toThrow('prompt was undefined and is "grid" now');
    await expect(Journal.check(file, fingerprint)).resolves.toBeUndefined();
  });

  it.each([
    ['nothing', ''],
    ['no end of line', lineOf({ format: 'ba-sam-evaluation-2', fingerprint: {} }).subarray(0, -1)],
    ['other JSON', '{"format":"ba-sam-results-1"}\n'],
    ['binary', '\x89PNG\r\n\x1a\n'],
  ])('refuses a file with %s', async (_, text) => {
    writeFileSync(file, text);
    await expect(resume()).rejects.toThrow(`${file}: expected the journal of an evaluation`);
    await expect(Journal.check(file, fingerprint)).rejects.toThrow('expected the journal of an evaluation');
  });

  it('says when it cannot be read or written', async () => {
    await expect(resume()).rejects.toMatchObject({ code: 'ERR_IO' });
    const nowhere = path.join(folder, 'nowhere', 'journal.jsonl');
    await expect(Journal.create(nowhere, fingerprint, 1, 1)).rejects.toMatchObject({
      code: 'ERR_IO',
      message: `Cannot write ${nowhere}: no such file or directory`,
    });
  });
});
