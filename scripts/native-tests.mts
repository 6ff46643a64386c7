// Builds and runs test/native/*_test.cpp against the native library without Node:
//   npm run test:native -- [--asan] [name…]
// Each program prints "N passed, N failed"; the sums close the output.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { findOneDnn } from './find-onednn.mjs';
import { type Compilation, compile, link, run } from './native-compile.mts';
import { buildOption, nativeSources, root } from './native-sources.mjs';

const COMMON = [...buildOption('compile'), ...buildOption('cpu-compile')];
export type Variant = 'plain' | 'asan';
/**
 * plain: what it computes. asan: every finding ends the program; frame pointers make the reports readable. Attention's
 * loops take twice as long at -O1, more than the compiler saves.
 */
export const VARIANTS: Readonly<Record<Variant, { readonly compile: string[]; readonly link: string[] }>> = {
  plain: { compile: ['-O2'], link: [] },
  asan: {
    compile: [
      '-O2',
      '-g1',
      '-fno-omit-frame-pointer',
      '-fsanitize=address,undefined',
      '-fno-sanitize-recover=all',
    ],
    link: ['-fsanitize=address,undefined'],
  },
};

export function testNames(): string[] {
  return readdirSync(path.join(root, 'test/native'))
    .filter((name) => name.endsWith('_test.cpp'))
    .map((name) => name.slice(0, -'.cpp'.length))
    .sort();
}

/** Objects of the native library, how they were made, and flags to link with them. */
export interface NativeLibrary extends Compilation {
  readonly objects: readonly string[];
  readonly linkFlags: readonly string[];
}

/** What a test program counted and wrote. */
export interface NativeCounts {
  readonly passed: number;
  readonly failed: number;
  readonly output: string;
}

export async function buildLibrary(variant: Variant): Promise<NativeLibrary> {
  const { compile: compileFlags, link: linkFlags } = VARIANTS[variant];
  const oneDnn = findOneDnn();
  const cxx = process.env.CXX ?? 'g++';
  const folder = path.join(root, 'build/native-tests', variant);
  const options = { folder, cxx, flags: [...COMMON, ...compileFlags, `-I${oneDnn.include}`] };
  const objects = await compile({ ...options, sources: nativeSources('cpu-library', 'cases') });
  return { ...options, objects, linkFlags: [...buildOption('cpu-link'), ...linkFlags, ...oneDnn.linkFlags] };
}

/** Builds one program from sources of its own and the library; returns its path. */
export async function buildProgram(
  library: NativeLibrary,
  name: string,
  sources: readonly string[],
): Promise<string> {
  const { folder, cxx, flags } = library;
  const own = await compile({ folder, cxx, flags, sources });
  const program = path.join(folder, name);
  await link({ objects: [...own, ...library.objects], program, cxx, flags: library.linkFlags });
  return program;
}

export const SANITIZER_ENV = {
  // Memory that cannot be had is an error to be reported like any other, not a reason to stop.
  ASAN_OPTIONS: 'detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1',
  UBSAN_OPTIONS: 'print_stacktrace=1',
  LSAN_OPTIONS: `suppressions=${path.join(root, 'test/native/lsan.supp')}:print_suppressions=0`,
};

/** Runs a test program. @returns its counts; rejects when it fails or counts nothing */
export async function runTest(program: string, env: NodeJS.ProcessEnv = {}): Promise<NativeCounts> {
  const output = await run(program, [], { env: { ...process.env, ...SANITIZER_ENV, ...env } });
  const [, passed, failed] = output.match(/^(\d+) passed, (\d+) failed$/m) ?? [];
  if (!(Number(passed) > 0) || Number(failed) !== 0)
    throw new Error(`${program} counted no passed test:\n${output}`);
  return { passed: Number(passed), failed: Number(failed), output };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2);
  const variant = args.includes('--asan') ? 'asan' : 'plain';
  const names = args.filter((arg) => !arg.startsWith('-'));
  let passed = 0;
  let failed = 0;
  try {
    const library = await buildLibrary(variant);
    const queue = names.length > 0 ? names : testNames();
    // At most two at a time: each has threads of its own.
    const workers = [1, 2].map(async () => {
      for (let name = queue.shift(); name; name = queue.shift()) {
        const source = `test/native/${name}.cpp`;
        try {
          if (!existsSync(path.join(root, source))) throw new Error(`There is no ${source}`);
          const start = performance.now();
          const counts = await runTest(await buildProgram(library, name, [source]));
          passed += counts.passed;
          const seconds = ((performance.now() - start) / 1000).toFixed(1);
          console.log(`${name}: ${counts.passed} passed, ${seconds} s with compiling`);
        } catch (error) {
          failed++;
          console.error(error instanceof Error ? error.message : error);
        }
      }
    });
    await Promise.all(workers);
  } catch (error) {
    failed++;
    console.error(error instanceof Error ? error.message : error);
  }
  // Read by scripts/count-tests.mjs; `npm test` writes its own counts of the plain variant.
  if (variant !== 'plain') {
    const results = path.join(root, 'build/test-results');
    mkdirSync(results, { recursive: true });
    writeFileSync(path.join(results, `native-${variant}.json`), JSON.stringify({ all: { passed, failed } }));
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}
