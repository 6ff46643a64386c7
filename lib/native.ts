// Finds, version-checks and loads the native addon; the only place that knows its shape.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { SamError, type SamErrorCode } from './errors';

/** Cancels a run; without effect once it is over. */
export interface NativeToken {
  cancel(): void;
}

export interface NativeWeights {
  readonly byteLength: number;
  set(
    name: string,
    source: string,
    dtype: string,
    shape: readonly number[],
    bytes: Uint8Array,
  ): Promise<void>;
  dispose(): void;
}

export type TensorData = Float32Array | Uint8Array | Int32Array | Uint16Array;

export interface NativePlan {
  /** Size of the arena in bytes; 0 before the first run. */
  readonly arenaBytes: number;
  run(
    inputs: readonly TensorData[],
    outputs: readonly TensorData[],
    token?: NativeToken,
    onProgress?: (fraction: number) => void,
    profile?: boolean,
  ): Promise<Float64Array | undefined>;
  dispose(): void;
}

/** What a build and the machine it runs on can do. */
export interface NativeInfo {
  readonly backend: 'cpu';
  /** Instruction set of the attention kernels: scalar, avx2, avx512 or avx512_bf16. */
  readonly isa: string;
  readonly supportedIsas: readonly string[];
  /** Threads of the compute team. */
  readonly threads: number;
  readonly oneDNN: string;
  /** Empty when bf16 can be used. */
  readonly bf16UnavailableReason: string;
}

export interface NativeAddon {
  readonly version: number;
  readonly CancelToken: new () => NativeToken;
  readonly Weights: new () => NativeWeights;
  readonly Plan: new (weights: NativeWeights, graph: Uint8Array) => NativePlan;
  /** Scales rgb into the top left of `out` [inputHeight, inputWidth, 3] and leaves the rest of it as it is. */
  resizeImage(
    rgb: Uint8Array,
    width: number,
    height: number,
    scaledWidth: number,
    scaledHeight: number,
    inputWidth: number,
    inputHeight: number,
    out: Uint8Array,
    token?: NativeToken,
  ): Promise<void>;
  attention(
    q: TensorData,
    k: TensorData,
    v: TensorData,
    out: TensorData,
    options: Record<string, unknown>,
    token?: NativeToken,
  ): Promise<number>;
  info(): NativeInfo;
  setThreads(threads: number): void;
  shutDown(): void;
  opTable(): { name: string; requiredInputs: number; maxInputs: number; requiredAttributes: number }[];
  checkGraph(graph: Uint8Array): number;
}

/** Must equal kAddonVersion of native/node/addon.cpp. */
const ADDON_VERSION = 2;
const PACKAGE_ROOT = path.dirname(__dirname);

let loaded: NativeAddon | undefined;
let failure: SamError | undefined;

/**
 * The addon, loaded at the first call.
 *
 * @throws SamError ERR_DEVICE_UNAVAILABLE that names every place looked at and how to build the addon
 */
export function native(): NativeAddon {
  if (loaded) return loaded;
  if (failure) throw failure;
  try {
    const addon = load();
    // A run that is still going when the process's static objects are destroyed would crash. Workers need no hook: their
    // environment's cleanup waits for their runs.
    if (isMainThread) process.once('exit', () => addon.shutDown());
    loaded = addon;
    return addon;
  } catch (error) {
    failure = error as SamError;
    throw error;
  }
}

/** The addon's state without throwing: for `ba-sam info`. */
export function nativeStatus():
  | { addon: NativeAddon; reason?: undefined }
  | { addon?: undefined; reason: string } {
  try {
    return { addon: native() };
  } catch (error) {
    return { reason: (error as Error).message };
  }
}

function load(): NativeAddon {
  const require = createRequire(__filename);
  const reasons: string[] = [];
  for (const file of candidates(require)) {
    if (!existsSync(file)) {
      reasons.push(`${file}: not there`);
      continue;
    }
    try {
      const addon = withShortSpin(() => require(file) as NativeAddon);
      if (addon.version === ADDON_VERSION) return addon;
      reasons.push(`${file}: expected version ${ADDON_VERSION} but found ${addon.version}; rebuild it`);
    } catch (error) {
      reasons.push(`${file}: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  throw new SamError(
    'ERR_DEVICE_UNAVAILABLE',
    `The native addon of ba-sam could not be loaded. Build it with \`npm run build:native\` in ${PACKAGE_ROOT} ` +
      `(it needs a C++17 compiler and oneDNN: sudo apt-get install g++ make libdnnl-dev). Tried: ${reasons.join('; ')}`,
  );
}

// Waiting OpenMP threads spin, by default for so long that a machine with other work to do is slowed down: one prompt on a
// 64 × 64 embedding took 400 … 1000 ms beside a load of 6 on two cores, and 115 ms with this count; on an idle machine it
// took 32 ms before and 37 … 42 ms with it.
// libgomp reads the variable when it is loaded, and only then. A setting of the user's own wins.
const SPIN_COUNT = '1000';

function withShortSpin<T>(load: () => T): T {
  const { env } = process;
  if (env.GOMP_SPINCOUNT !== undefined || env.OMP_WAIT_POLICY !== undefined) return load();
  env.GOMP_SPINCOUNT = SPIN_COUNT;
  try {
    return load();
  } finally {
    delete env.GOMP_SPINCOUNT; // child processes are not ours to tune
  }
}

// A build of one's own comes before a prebuild: whoever built one wants it.
function candidates(require: NodeJS.Require): string[] {
  const override = process.env.BA_SAM_ADDON;
  if (override) return [path.resolve(override)];
  const files = [path.join(PACKAGE_ROOT, 'build', 'Release', 'ba_sam.node')];
  try {
    const resolve = require('node-gyp-build') as { path(dir: string): string };
    const found = resolve.path(PACKAGE_ROOT);
    if (!files.includes(found)) files.push(found);
  } catch {
    files.push(path.join(PACKAGE_ROOT, 'prebuilds', `${process.platform}-${process.arch}`));
  }
  return files;
}

/** Turns an error of the addon into a SamError; anything else passes unchanged. */
export function fromNative(error: unknown): unknown {
  if (error instanceof SamError || !(error instanceof Error)) return error;
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && code.startsWith('ERR_')
    ? new SamError(code as SamErrorCode, error.message)
    : error;
}
