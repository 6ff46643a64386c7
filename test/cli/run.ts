// Runs the built command line tool the way a shell does.
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect } from 'vitest';
import { openCheckpoint } from '../../lib/checkpoint/checkpoint';
import { buildLibrary } from '../support/library';

export const ROOT = path.join(__dirname, '..', '..');
export const MAIN = path.join(ROOT, 'dist', 'cli', 'main.js');
export const DEMO = path.join(ROOT, 'examples', 'images', 'demo.png');
export const GOLDEN = path.join(ROOT, 'test', 'fixtures', 'golden');
/** Orange shape, a box around the striped one, a box around the blotched one. */
export const POINT = ['--point', '200,200'];
export const STRIPED = ['--box', '385,36,555,362'];
export const BLOTCHED = ['--box', '430,320,685,505'];

buildLibrary();

export interface Result {
  /** Null when a signal ended the process. */
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** In a process group of its own, as a shell's jobs are. */
  detached?: boolean;
  /** Sees the process as soon as it runs. */
  started?: (child: ReturnType<typeof spawn>) => void;
}

/**
 * Runs `ba-sam ARGS`: in the process that this test file keeps for command lines, or, where the options say something about the
 * process, in one of its own.
 */
export function baSam(args: readonly string[], options: RunOptions = {}): Promise<Result> {
  const { cwd, ...ofProcess } = options;
  return Object.keys(ofProcess).length > 0 ? spawnBaSam(args, options) : hosted(args, cwd);
}

let host: ChildProcess | undefined;
let last: Promise<unknown> = Promise.resolve();
afterAll(() => host?.disconnect());

/** One after the other: working directory and streams are the process's. */
function hosted(args: readonly string[], cwd: string | undefined): Promise<Result> {
  const result = last.then(() => {
    host ??= fork(path.join(__dirname, 'host.cjs'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const child = host;
    return new Promise<Result>((resolve, reject) => {
      const ended = (status: number | null, signal: string | null) => {
        host = undefined;
        reject(new Error(`ba-sam ${args.join(' ')} ended its process: ${signal ?? status}`));
      };
      child.once('exit', ended).once('message', (answer) => {
        child.off('exit', ended);
        resolve(answer as Result);
      });
      child.send({ args, cwd });
    });
  });
  last = result.catch(() => {});
  return result;
}

/** Runs `ba-sam ARGS` in a process of its own, with pipes for stdout and stderr. */
export function spawnBaSam(
  args: readonly string[],
  { cwd, env, detached, started }: RunOptions = {},
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      cwd,
      detached,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const result = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        result[name] += text;
      });
    }
    child.on('error', reject).on('close', (status) => resolve({ status, ...result }));
    started?.(child);
  });
}

/** Resident memory of a process; 0 when it has ended. */
export function residentMB(pid: number): number {
  try {
    return Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** A folder that is removed after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'ba-sam-cli-'));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs the tool; it must succeed and, in a pipe, say nothing. */
export async function quiet(args: readonly string[], options?: RunOptions): Promise<void> {
  expect(await baSam(args, options)).toEqual({ status: 0, stdout: '', stderr: '' });
}

/**
 * Runs the tool in an empty folder; it must refuse with exit code 2, one line on stderr that matches, and no file.
 */
export async function refused(args: readonly string[], message: RegExp, folder: string): Promise<void> {
  const before = readdirSync(folder);
  const { status, stdout, stderr } = await baSam(args, { cwd: folder });
  expect(stderr).toMatch(/^ba-sam: [^\n]+\n$/);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/\bat .*[\\/].*:\d+|node:internal|SamError|UsageError/);
  expect({ status, stdout, files: readdirSync(folder) }).toEqual({ status: 2, stdout: '', files: before });
}

/** The f32 tensors of a safetensors file. */
export async function tensors(
  file: string,
): Promise<Map<string, { shape: readonly number[]; data: Float32Array }>> {
  const source = await openCheckpoint(file);
  const found = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const { name, shape, dtype } of source.tensors.values()) {
    if (dtype === 'f32') found.set(name, { shape, data: new Float32Array((await source.read(name)).buffer) });
  }
  await source.close();
  return found;
}

/** Writes bytes into a file of `folder` and returns its path. */
export function place(folder: string, name: string, bytes: string | Uint8Array): string {
  const file = path.join(folder, name);
  writeFileSync(file, bytes);
  return file;
}
