// Compiles every .cu for every architecture and reads what came out; needs nvcc but no GPU:
//   npm run check:cuda -- [--arch 80,90] [--update] [--table] [--source FILE]…
// A kernel fails when it spills, has a stack frame, touches local memory, when ptxas says that it serialises, when it is
// named after mma but has no tensor-core instruction, when ptxas has undone the intra-warpgroup overlap of the kernel for
// sm_90a, or when it takes more than 8 registers over the baseline
// (bench/results/cuda-registers.json; --update writes it). Results lie in build/cuda-kernels.json; --table prints them.
// Results are kept by content: an unchanged tree takes a second. Closes with "N passed, N failed", one a kernel and
// architecture; without nvcc all of them are skipped. --source: these files instead of the library's.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { countOpcodes } from './cuda-opcodes.mjs';
import { ARCHITECTURES, chosenArchitectures, findCudaToolkit, nvccOptions } from './cuda-toolkit.mjs';
import { run } from './native-compile.mts';
import { nativeSources, root } from './native-sources.mjs';

const BASELINE = path.join(root, 'bench/results/cuda-registers.json');
const CACHE = path.join(root, 'build/cuda-kernels');
const ALLOWED_GROWTH = 8;
const MOST_BARRIER_TO_WGMMA = 24; // 2 to 16 with CUDA 13.0

type Toolkit = ReturnType<typeof findCudaToolkit>;
type Opcodes = Readonly<Record<string, number>>;

/** What ptxas says of a function. */
interface FunctionReport {
  readonly stackBytes: number;
  readonly spillStoreBytes: number;
  readonly spillLoadBytes: number;
  readonly registers?: number;
  readonly sharedBytes: number;
}

interface Kernel extends FunctionReport {
  readonly kernel: string;
  readonly source: string;
  readonly target: string;
  readonly registers: number;
  readonly opcodes?: Opcodes;
}

/** A file for an architecture. */
interface Compilation {
  readonly source: string;
  readonly target: string;
  readonly key: string;
}

/** What came of it. */
interface Compiled {
  readonly source: string;
  readonly target: string;
  readonly seconds: number;
  readonly warnings: readonly string[];
  readonly kernels: readonly Kernel[];
}

/** Registers by kernel and architecture. */
interface Baseline {
  readonly cuda: string;
  readonly kernels: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const { values: args } = parseArgs({
  options: {
    arch: { type: 'string' },
    update: { type: 'boolean', default: false },
    table: { type: 'boolean', default: false },
    source: { type: 'string', multiple: true },
  },
});

/** A file and everything of ours that it includes, directly or not. */
function withIncludes(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file) || !existsSync(file)) return seen;
  seen.add(file);
  for (const [, name] of readFileSync(file, 'utf8').matchAll(/^\s*#include "([^"]+)"/gm)) {
    withIncludes(path.resolve(path.dirname(file), name), seen);
  }
  return seen;
}

function cacheKey(source: string, target: string, toolkit: Toolkit): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([target, toolkit.version, nvccOptions()]));
  for (const script of ['check-cuda-kernels.mts', 'cuda-opcodes.mjs']) {
    hash.update(readFileSync(path.join(root, 'scripts', script)));
  }
  for (const file of withIncludes(path.join(root, source))) hash.update(file).update(readFileSync(file));
  return hash.digest('hex').slice(0, 32);
}

/** Demangled, without what every kernel's name shares and without parameters. */
function shortNames(mangled: readonly string[]): string[] {
  if (mangled.length === 0) return [];
  const { stdout, status } = spawnSync('c++filt', [], { input: mangled.join('\n'), encoding: 'utf8' });
  const names = status === 0 ? stdout.trimEnd().split('\n') : mangled;
  return names.map((name) => {
    const short = name.replaceAll('(anonymous namespace)::', '').replaceAll('ba_sam::cuda::', '');
    let depth = 0;
    for (let i = 0; i < short.length; i++) {
      if (short[i] === '<') depth++;
      else if (short[i] === '>') depth--;
      else if (short[i] === '(' && depth === 0) return short.slice(0, i).replace(/^void /, '');
    }
    return short;
  });
}

/** What `ptxas -v` said of each function, and everything it complained of. */
function readReport(text: string): { functions: Map<string, FunctionReport>; warnings: string[] } {
  const functions = new Map<string, FunctionReport>();
  const warnings: string[] = [];
  const add = (name: string, found: Partial<FunctionReport>) => {
    const nothing = { stackBytes: 0, spillStoreBytes: 0, spillLoadBytes: 0, sharedBytes: 0 };
    functions.set(name, { ...nothing, ...functions.get(name), ...found });
  };
  let entry: string | undefined;
  for (const line of text.split('\n')) {
    const compiling = line.match(/Compiling entry function '(\S+)' for/);
    const properties = line.match(/Function properties for (\S+)/);
    const frame = line.match(/(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/);
    const used = line.match(/Used (\d+) registers/);
    if (compiling) entry = compiling[1];
    if (properties) entry = properties[1];
    if (frame && entry) {
      const [stackBytes, spillStoreBytes, spillLoadBytes] = frame.slice(1).map(Number);
      add(entry, { stackBytes, spillStoreBytes, spillLoadBytes });
    }
    if (used && entry) {
      const sharedBytes = Number(line.match(/(\d+) bytes smem/)?.[1] ?? 0);
      add(entry, { registers: Number(used[1]), sharedBytes });
    }
    if (/warning|Potential Performance Loss|\(C\d{4}\)/.test(line)) warnings.push(line.trim());
  }
  return { functions, warnings };
}

async function compileOne(nvcc: string, { source, target, key }: Compilation): Promise<Compiled> {
  const result = path.join(CACHE, `${key}.json`);
  if (existsSync(result)) return JSON.parse(readFileSync(result, 'utf8'));
  const cubin = path.join(CACHE, `${key}.cubin`);
  const arch = `sm_${target}`;
  const start = performance.now();
  const output = await run(nvcc, [
    ...nvccOptions(),
    ...['-DNDEBUG', '-cubin', `-arch=${arch}`, '-Xptxas=-v', source, '-o', cubin],
  ]);
  const { functions, warnings } = readReport(output);
  const opcodes = countOpcodes(readFileSync(cubin));
  rmSync(cubin);
  const entries = [...functions].flatMap(([name, { registers, ...rest }]) =>
    registers === undefined ? [] : [{ name, registers, ...rest }],
  );
  const mangled = entries.map(({ name }) => name);
  const names = shortNames(mangled);
  const kernels = entries.map(({ name, ...found }, i) => ({
    kernel: names[i],
    source,
    target,
    ...found,
    opcodes: opcodes.get(name),
  }));
  // Device functions that were not inlined have frames of their own, which kernels do not show.
  const called = [...functions].filter(([name]) => !mangled.includes(name));
  const calledNames = shortNames(called.map(([name]) => name));
  for (const [i, [, { stackBytes, spillStoreBytes }]] of called.entries()) {
    if (stackBytes + spillStoreBytes > 0)
      warnings.push(`${calledNames[i]}: a stack frame in a function that is called`);
  }
  const seconds = (performance.now() - start) / 1000;
  const record = { source, target, seconds: Number(seconds.toFixed(1)), warnings, kernels };
  writeFileSync(result, JSON.stringify(record));
  return record;
}

/**
 * hopper_kernel.h: in a loop with intra-warpgroup overlap, a thread's exponentials (as many as the strip is wide) run beside a
 * wgmma, and next to nothing lies between a ping-pong barrier and its wgmma.
 */
function lostOverlap(kernel: string, opcodes: Opcodes): string[] {
  const config =
    /^hopper_mma_attention<.*(?:HopperConfig<(\d+), \d+, true, (true|false)\b|HopperClusterConfig<(\d+)>)/;
  const [, single, pingpong = 'true', cluster] = kernel.match(config) ?? [];
  const strip = single ?? cluster;
  if (strip === undefined) return [];
  const found: string[] = [];
  const exponentials = Math.floor(0.9 * Number(strip));
  if (opcodes.mufuBesideWgmma < exponentials) {
    found.push(`${opcodes.mufuBesideWgmma} exponentials beside a wgmma, expected at least ${exponentials}`);
  }
  if (
    pingpong === 'true' &&
    !(opcodes.barrierToWgmma >= 0 && opcodes.barrierToWgmma <= MOST_BARRIER_TO_WGMMA)
  ) {
    found.push(
      `${opcodes.barrierToWgmma} instructions between a ping-pong barrier and its wgmma, expected at most ${MOST_BARRIER_TO_WGMMA}`,
    );
  }
  return found;
}

/** Why a kernel fails; empty when it passes. */
function faults(kernel: Kernel, baseline: Baseline | undefined): string[] {
  const found: string[] = [];
  const { opcodes } = kernel;
  if (kernel.spillStoreBytes + kernel.spillLoadBytes > 0) {
    found.push(`spills ${kernel.spillStoreBytes} bytes, reloads ${kernel.spillLoadBytes}`);
  }
  if (kernel.stackBytes > 0) found.push(`a stack frame of ${kernel.stackBytes} bytes`);
  if (!opcodes) found.push('no machine code found in the cubin');
  else {
    if (opcodes.STL + opcodes.LDL > 0) found.push(`local memory: ${opcodes.STL} STL, ${opcodes.LDL} LDL`);
    if (/mma/.test(kernel.kernel) && opcodes.HMMA + opcodes.HGMMA === 0)
      found.push('no tensor-core instruction');
    found.push(...lostOverlap(kernel.kernel, opcodes));
  }
  const before = baseline?.kernels[kernel.kernel]?.[kernel.target];
  if (before !== undefined && kernel.registers > before + ALLOWED_GROWTH) {
    found.push(`${kernel.registers} registers, ${before} in the baseline`);
  }
  return found;
}

function readBaseline(toolkit: Toolkit): Baseline | undefined {
  if (!existsSync(BASELINE)) return undefined;
  const baseline = JSON.parse(readFileSync(BASELINE, 'utf8'));
  if (baseline.cuda === toolkit.version) return baseline;
  console.log(
    `The baseline of register counts is of CUDA ${baseline.cuda}: not compared with ${toolkit.version}`,
  );
  return undefined;
}

/** One line a kernel, so that a difference reads well. Entries of architectures not compiled now are kept. */
function writeBaseline(kernels: readonly Kernel[], toolkit: Toolkit, old: Baseline | undefined): void {
  const registers: Record<string, Record<string, number>> = {};
  for (const { kernel, target, registers: count } of kernels) {
    registers[kernel] ??= { ...old?.kernels[kernel] };
    registers[kernel][target] = count;
  }
  const lines = Object.keys(registers)
    .sort()
    .map((name) => `  ${JSON.stringify(name)}: ${JSON.stringify(registers[name])}`);
  writeFileSync(BASELINE, `{\n "cuda": "${toolkit.version}",\n "kernels": {\n${lines.join(',\n')}\n }\n}\n`);
}

function printTable(kernels: readonly Kernel[]): void {
  for (const k of kernels) {
    const { HMMA, HGMMA, UTMALDG, MUFU, LDSM, LDGSTS } = k.opcodes ?? {};
    console.log(
      `sm_${k.target}  ${String(k.registers).padStart(3)} registers  ${String(k.sharedBytes).padStart(6)} B shared  ` +
        `${HMMA} HMMA  ${HGMMA} HGMMA  ${UTMALDG} UTMALDG  ${MUFU} MUFU  ${LDSM} LDSM  ${LDGSTS} LDGSTS  ${k.kernel}`,
    );
  }
}

function finish(counts: Counts): void {
  if (!args.source) {
    const results = path.join(root, 'build/test-results');
    mkdirSync(results, { recursive: true });
    writeFileSync(path.join(results, 'cuda-kernels.json'), JSON.stringify({ all: counts }));
  }
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
  process.exitCode = counts.failed > 0 ? 1 : 0;
}

async function check() {
  const sources = args.source ?? nativeSources('cuda-library').filter((file) => file.endsWith('.cu'));
  const toolkit = findCudaToolkit();
  const { nvcc } = toolkit;
  if (!nvcc) {
    console.log(`${toolkit.reason} CUDA kernels are not checked.`);
    return finish({ passed: 0, failed: 0, skipped: sources.length * ARCHITECTURES.length });
  }
  const codes = chosenArchitectures(args.arch, toolkit);
  mkdirSync(CACHE, { recursive: true });
  const jobs = sources.flatMap((source) =>
    (source.endsWith('_sm90.cu') ? (codes.includes(90) ? ['90a'] : []) : codes.map(String)).map((target) => ({
      source,
      target,
      key: cacheKey(source, target, toolkit),
    })),
  );
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const records: Compiled[] = [];
  const queue = [...jobs];
  const workers = Array.from({ length: os.availableParallelism() }, async () => {
    for (let job = queue.shift(); job; job = queue.shift()) {
      try {
        records.push(await compileOne(nvcc, job));
      } catch (error) {
        counts.failed++;
        console.error(
          `${job.source} for sm_${job.target} does not compile: ${error instanceof Error ? error.message : error}`,
        );
      }
    }
  });
  await Promise.all(workers);
  if (!args.arch && !args.source && counts.failed === 0) {
    const wanted = new Set(jobs.map((job) => `${job.key}.json`));
    for (const name of readdirSync(CACHE)) if (!wanted.has(name)) rmSync(path.join(CACHE, name));
  }
  report(records, counts, toolkit);
  finish(counts);
}

function report(records: Compiled[], counts: Counts, toolkit: Toolkit): void {
  records.sort((a, b) => a.source.localeCompare(b.source) || parseInt(a.target, 10) - parseInt(b.target, 10));
  const kernels = records.flatMap((record) => record.kernels);
  const baseline = readBaseline(toolkit);
  for (const { source, target, warnings } of records) {
    for (const warning of new Set(warnings)) {
      const serious = /Potential Performance Loss|\(C7\d{3}\)|stack frame|local memory|spill/i.test(warning);
      console[serious ? 'error' : 'log'](`${source} for sm_${target}: ${warning}`);
      if (serious) counts.failed++;
    }
  }
  for (const kernel of kernels) {
    const found = faults(kernel, args.update ? undefined : baseline);
    if (found.length === 0) counts.passed++;
    else {
      counts.failed++;
      console.error(`${kernel.kernel} for sm_${kernel.target}: ${found.join('; ')}`);
    }
  }
  if (!args.source) {
    const table = `${JSON.stringify({ cuda: toolkit.version, kernels }, null, 1)}\n`;
    writeFileSync(path.join(root, 'build/cuda-kernels.json'), table);
  }
  if (args.table) printTable(kernels);
  if (args.update) writeBaseline(kernels, toolkit, baseline);
  else {
    const unknown = kernels.filter((k) => baseline?.kernels[k.kernel]?.[k.target] === undefined).length;
    if (unknown > 0 && baseline && !args.source)
      console.log(`${unknown} are not in the baseline yet: --update adds them`);
  }
  const files = new Set(records.map((record) => record.source)).size;
  const targets = [...new Set(records.map((record) => `sm_${record.target}`))].join(', ');
  console.log(`CUDA ${toolkit.version}: ${kernels.length} kernels of ${files} files for ${targets}`);
}

await check();
