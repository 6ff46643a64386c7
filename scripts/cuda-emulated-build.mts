// Builds what `npm run build:cuda` builds, for a machine without CUDA: g++ compiles the same sources against the host
// emulation. For tests only; thousands of times slower than a GPU.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { EMULATION_FLAGS, EMULATION_LINK_FLAGS, emulationSources } from './cuda-emulation.mts';
import { compile, link } from './native-compile.mts';
import { buildOption, nativeSources, root } from './native-sources.mjs';

const cxx = process.env.CXX ?? 'g++';
/** Of every source, -x c++ because .cu says nothing to g++. */
export const EMULATED_FLAGS = [
  ...buildOption('compile'),
  ...['-O2', '-fPIC', '-fvisibility=hidden'],
  ...EMULATION_FLAGS,
  ...['-x', 'c++'],
];

/** Of everything in the library, `symbols` alone are visible. */
function linkFlags(folder: string, name: string, symbols: string): string[] {
  const script = path.join(folder, `${name}.map`);
  writeFileSync(script, `{ global: ${symbols}; local: *; };\n`);
  return ['-shared', `-Wl,--version-script=${script}`, ...EMULATION_LINK_FLAGS];
}

async function objectsOf(
  folder: string,
  flags: readonly string[],
  sources: readonly string[],
): Promise<string[]> {
  return await compile({ sources, folder: path.resolve(root, folder), cxx, flags });
}

/** @returns path of libba_sam_attention_emulated.so */
export async function buildEmulatedAttention(folder = 'build-cuda-emulated'): Promise<string> {
  const out = path.resolve(root, folder);
  const library = path.join(out, 'Release/libba_sam_attention_emulated.so');
  mkdirSync(path.dirname(library), { recursive: true });
  const sources = [...nativeSources('cuda-attention', 'cuda-attention-interface'), ...emulationSources()];
  const objects = await objectsOf(path.join(out, 'objects'), EMULATED_FLAGS, sources);
  await link({
    objects,
    program: library,
    cxx,
    flags: [...linkFlags(out, 'attention', 'ba_sam_*'), '-Wl,--no-undefined'],
  });
  return library;
}

/** @returns path of ba_sam_cuda.node, the emulated one */
export async function buildEmulatedAddon(folder = 'build-cuda-emulated'): Promise<string> {
  const out = path.resolve(root, folder);
  const addon = path.join(out, 'Release/ba_sam_cuda.node');
  mkdirSync(path.dirname(addon), { recursive: true });
  const nodeFlags = [
    ...buildOption('addon-defines').map((name) => `-D${name}`),
    ...['node-addon-api', 'node-api-headers/include'].map((name) => `-Inode_modules/${name}`),
    '-Wno-cast-function-type',
  ];
  const sources = nativeSources('cuda-addon');
  const glue = sources.filter((file) => file.startsWith('native/node/'));
  const rest = sources.filter((file) => !glue.includes(file));
  const objects = [
    ...(await objectsOf(path.join(out, 'objects'), EMULATED_FLAGS, [...rest, ...emulationSources()])),
    ...(await objectsOf(path.join(out, 'objects-node'), [...nodeFlags, ...EMULATED_FLAGS], glue)),
  ];
  const symbols = 'napi_register_module_v*; node_api_module_get_api_version_v*; ba_sam_emulation_*';
  await link({ objects, program: addon, cxx, flags: linkFlags(out, 'addon', symbols) });
  if (!existsSync(addon)) throw new Error(`${addon} was not written`);
  return addon;
}
