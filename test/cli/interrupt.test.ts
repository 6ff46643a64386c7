// Signals end the command line whatever it is doing.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildLibrary } from '../support/library';

buildLibrary();

const INTERRUPT = path.join(__dirname, '..', '..', 'dist', 'cli', 'interrupt.js');

/** A command that says when it is ready, and again when it is asked to end, and goes on all the same. */
function stubborn(grace_ms: number) {
  const code = `
    const signal = require(${JSON.stringify(INTERRUPT)}).onInterrupt(${grace_ms});
    signal.addEventListener('abort', () => console.log(signal.reason.status));
    process.on('exit', () => { for (;;); });
    setInterval(() => {}, 1000);
    console.log('ready');`;
  return spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
}

describe('a command that does not end', () => {
  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const)('is asked by %s, and then ended by it', async (name, status) => {
    const child = stubborn(1);
    await once(child.stdout, 'data');
    child.kill(name);
    const [[text], [code, signal]] = await Promise.all([once(child.stdout, 'data'), once(child, 'exit')]);
    expect({ text: String(text).trim(), code, signal }).toEqual({
      ...{ text: String(status), code: null, signal: name },
    });
  });

  it('is ended by a second signal at once, be it another', async () => {
    const child = stubborn(3_600_000);
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([null, 'SIGTERM']);
  });
});
