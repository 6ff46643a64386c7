// Feeds broken bytes to the graph decoder, plans and CPU kernels, then to the checkpoint readers:
//   npm run fuzz -- [--seconds 20] [--seed N] [--only graphs|checkpoints] [--driver libfuzzer|in-process]
// Graphs go through libFuzzer where clang is installed, otherwise (and with --driver in-process) through a seeded
// driver that g++ builds; both under AddressSanitizer and UndefinedBehaviorSanitizer.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { findOneDnn } from './find-onednn.mjs';
import { compile, link } from './native-compile.mts';
import { nativeSources, root } from './native-sources.mjs';
import { buildLibrary, buildProgram, SANITIZER_ENV } from './native-tests.mts';
import { writeGraphSeeds } from './write-graph-seeds.mjs';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    only: { type: 'string' },
    driver: { type: 'string' },
  },
});
const { seconds, seed, only } = options;
const folder = path.join(root, 'build/fuzz');
const seeds = path.join(folder, 'seeds');

/** Shows the lines of the output that `keep` matches; all of them when the program fails. */
function runTool(command: string, args: readonly string[], keep = /./): void {
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
    env: { ...process.env, ...SANITIZER_ENV },
  });
  const output = (result.stdout ?? '') + (result.stderr ?? '');
  const lines = output.split('\n').filter((line) => result.status !== 0 || keep.test(line));
  console.log(lines.join('\n'));
  if (result.status === 0) return;
  console.error(
    `fuzz: ${command} ended with ${result.status ?? result.signal}; inputs are kept in ${folder}`,
  );
  process.exit(1);
}

function findClang(): string | undefined {
  return [process.env.CLANGXX ?? '', 'clang++', 'clang++-14'].find((name) => {
    if (name === '' || spawnSync(name, ['--version'], { stdio: 'ignore' }).status !== 0) return false;
    const runtime = spawnSync(name, ['-print-resource-dir'], { encoding: 'utf8' }).stdout.trim();
    return existsSync(path.join(runtime, 'lib/linux/libclang_rt.fuzzer-x86_64.a'));
  });
}

/** Without OpenMP: see test/fuzz/single-threaded/omp.h. */
async function buildLibFuzzer(cxx: string): Promise<string> {
  const oneDnn = findOneDnn();
  const sanitize = 'address,undefined';
  const flags = [
    ...['-std=c++17', '-O1', '-g1', '-fno-omit-frame-pointer', '-fno-sanitize-recover=all', '-w'],
    ...[`-fsanitize=fuzzer-no-link,${sanitize}`, '-Itest/fuzz/single-threaded', `-I${oneDnn.include}`],
  ];
  const sources = [...nativeSources('cpu-library', 'cases'), 'test/fuzz/graph_fuzz.cpp'];
  const objects = await compile({ sources, folder: path.join(folder, 'objects'), cxx, flags });
  const program = path.join(folder, 'graph_fuzz');
  await link({
    objects,
    program,
    cxx,
    flags: [`-fsanitize=fuzzer,${sanitize}`, ...oneDnn.linkFlags],
  });
  return program;
}

if (only !== 'checkpoints') {
  console.log(`${await writeGraphSeeds(seeds)} seed graphs`);
  const clang = options.driver === 'in-process' ? undefined : findClang();
  if (options.driver === 'libfuzzer' && !clang) {
    console.error(
      'fuzz: clang with libFuzzer was not found: sudo apt-get install clang-14 libclang-rt-14-dev',
    );
    process.exit(1);
  }
  if (clang) {
    const corpus = path.join(folder, 'corpus');
    mkdirSync(corpus, { recursive: true });
    const program = await buildLibFuzzer(clang);
    console.log(`graphs: libFuzzer, ${seconds} s, seed ${seed}`);
    runTool(
      program,
      [
        ...[
          `-max_total_time=${seconds}`,
          `-seed=${seed}`,
          '-timeout=60',
          '-rss_limit_mb=4096',
          '-max_len=65536',
        ],
        ...['-print_final_stats=1', '-verbosity=0', `-artifact_prefix=${folder}/`, corpus, seeds],
      ],
      /^stat::/,
    );
  } else {
    const program = await buildProgram(await buildLibrary('asan'), 'graph_driver', [
      'test/fuzz/graph_driver.cpp',
    ]);
    console.log(`graphs: in-process driver, ${seconds} s, seed ${seed}`);
    runTool(program, [seconds, seed, seeds]);
  }
}
if (only !== 'graphs') {
  console.log(`checkpoints: ${seconds} s, seed ${seed}`);
  runTool(process.execPath, ['test/checkpoint/fuzz-cli.mjs', seconds, seed]);
}
