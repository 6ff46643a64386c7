// Compiles C++ sources into objects that are reused while neither they, their headers nor the flags change, and links
// programs from them. Node-gyp builds the addon only; native tests and fuzzers are built with this.
import { type SpawnOptions, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { root } from './native-sources.mjs';

/** How sources become objects. */
export interface Compilation {
  /** Of the objects. */
  readonly folder: string;
  readonly cxx: string;
  readonly flags: readonly string[];
}

/**
 * @param options sources relative to the repository
 * @returns objects, in the order of the sources
 */
export async function compile({
  sources,
  folder,
  cxx,
  flags,
}: Compilation & { readonly sources: readonly string[] }): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const stamp = path.join(folder, 'flags');
  const command = [cxx, ...flags].join(' ');
  const sameFlags = existsSync(stamp) && readFileSync(stamp, 'utf8') === command;
  const jobs = sources.map((source) => {
    const object = path.join(folder, `${source.replaceAll('/', '__')}.o`);
    return { source, object, fresh: sameFlags && isFresh(object) };
  });
  const queue = jobs.filter((job) => !job.fresh);
  const workers = Array.from({ length: os.availableParallelism() }, async () => {
    for (let job = queue.shift(); job; job = queue.shift()) {
      await run(cxx, [...flags, '-MMD', '-c', job.source, '-o', job.object]);
    }
  });
  await Promise.all(workers);
  writeFileSync(stamp, command);
  return jobs.map((job) => job.object);
}

/** Links a program unless it is newer than its objects. */
export async function link({
  objects,
  program,
  cxx,
  flags,
}: {
  readonly objects: readonly string[];
  readonly program: string;
  readonly cxx: string;
  readonly flags: readonly string[];
}): Promise<void> {
  if (existsSync(program)) {
    const built = statSync(program).mtimeMs;
    if (objects.every((object) => statSync(object).mtimeMs <= built)) return;
  }
  await run(cxx, [...objects, ...flags, '-o', program]);
}

/** The paths that the compiler wrote down as dependencies are all older than the object. */
function isFresh(object: string): boolean {
  const list = object.replace(/\.o$/, '.d');
  if (!existsSync(object) || !existsSync(list)) return false;
  const built = statSync(object).mtimeMs;
  const [, files] = readFileSync(list, 'utf8').split(/:\s/, 2);
  return files
    .split(/[\s\\]+/)
    .filter(Boolean)
    .map((file) => path.resolve(root, file))
    .every((file) => existsSync(file) && statSync(file).mtimeMs <= built);
}

/** Runs a command in the repository, its output shown only on failure; rejects when it fails. */
export function run(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let output = '';
    child.stdout?.on('data', (chunk) => (output += chunk));
    child.stderr?.on('data', (chunk) => (output += chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${command} ended with ${code ?? signal}: ${args.join(' ')}\n${output}`));
    });
  });
}
