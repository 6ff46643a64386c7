// Finds, version-checks and loads the native addons: the CPU's, which everything needs, and CUDA's, which is looked for
// only when a device other than the CPU may be meant.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { isMainThread } from 'node:worker_threads';
import type { CpuAddon, CudaAddon, NativeAddon } from './addon';
import { SamError, type SamErrorCode } from './errors';

/** Must equal kAddonVersion of native/node/addon.cpp. */
const ADDON_VERSION = 4;
const PACKAGE_ROOT = path.dirname(__dirname);
const PREBUILDS = path.join(PACKAGE_ROOT, 'prebuilds', `${process.platform}-${process.arch}`);
const CUDA_FILE = 'ba_sam_cuda.node';
/** A package of its own, because of its size; installed beside this one by those who have a GPU. */
const CUDA_PACKAGE = `@ba-sam/cuda-${process.platform}-${process.arch}`;

/**
 * An addon that is loaded at the first call and kept. A failure is not kept: the reason may be gone at the next call (too many
 * open files, a file that is being written), and looking for files costs next to nothing.
 */
class Loader<Addon extends NativeAddon> {
  private loaded: Addon | undefined;

  constructor(
    private readonly name: string,
    /** How to get it, in sentences. */
    private readonly advice: () => string,
    /** Files to try in turn; a place that cannot be looked into gives a reason instead. */
    private readonly candidates: (require: NodeJS.Require, reasons: string[]) => string[],
    /** Whether it is this addon and not the other. */
    private readonly accepts: (addon: Addon) => boolean,
  ) {}

  get(): Addon {
    if (this.loaded) return this.loaded;
    const addon = this.load();
    // A run that is still going when the process's static objects are destroyed would crash. Workers need no hook:
    // their environment's cleanup waits for their runs.
    if (isMainThread) process.once('exit', () => addon.shutDown());
    this.loaded = addon;
    return addon;
  }

  status(): AddonStatus<Addon> {
    try {
      return { addon: this.get() };
    } catch (error) {
      return { reason: (error as Error).message };
    }
  }

  private load(): Addon {
    const require = createRequire(__filename);
    const reasons: string[] = [];
    for (const file of this.candidates(require, reasons)) {
      try {
        statSync(file);
        const addon = withShortSpin(() => require(file) as Addon);
        if (addon.version !== ADDON_VERSION) {
          reasons.push(`${file}: expected version ${ADDON_VERSION} but found ${addon.version}; rebuild it`);
        } else if (!this.accepts(addon)) {
          reasons.push(`${file}: another addon of this package`);
        } else {
          return addon;
        }
      } catch (error) {
        reasons.push(`${file}: ${whyNot(error)}`);
      }
    }
    throw new SamError(
      'ERR_DEVICE_UNAVAILABLE',
      `The ${this.name} of ba-sam could not be loaded. ${this.advice()} Tried: ${reasons.join('; ')}`,
    );
  }
}

export type AddonStatus<Addon> = { addon: Addon; reason?: undefined } | { addon?: undefined; reason: string };

function whyNot(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' ? 'not there' : message.split('\n')[0];
}

const cpuLoader = new Loader<CpuAddon>(
  'native addon',
  () =>
    `${belowFloor()}Build it with \`npm run build:native\` in ${PACKAGE_ROOT} (it needs a C++17 compiler, make, Python 3 and ` +
    'oneDNN 2.2 or later; Debian 12, Ubuntu 22.04: sudo apt-get install g++ make python3 libdnnl-dev).',
  cpuCandidates,
  (addon) => 'resizeImage' in addon,
);

const cudaLoader = new Loader<CudaAddon>(
  'CUDA addon',
  () => {
    const needs = 'it needs the CUDA toolkit 12.4 or later and CMake, but no GPU';
    // The published package has its sources, not what builds them.
    return existsSync(path.join(PACKAGE_ROOT, 'scripts', 'build-cuda.mts'))
      ? `Build it with \`npm run build:cuda\` in ${PACKAGE_ROOT} (${needs}).`
      : `It does not come with this package: build it with \`npm run build:cuda\` in a clone of ba-sam's repository (${needs}) ` +
          'and set BA_SAM_CUDA_ADDON to build-cuda/Release/ba_sam_cuda.node there.';
  },
  cudaCandidates,
  (addon) => !('resizeImage' in addon),
);

/** One sentence when there is a prebuild and the C library is too old for it, or another; empty otherwise. */
function belowFloor(): string {
  if (process.platform !== 'linux' || !existsSync(PREBUILDS)) return '';
  const needed = neededGlibc();
  if (!needed) return '';
  const here = glibcVersion();
  if (!here) return `The prebuilt one needs glibc ${needed} or later, and this system has no glibc. `;
  const isOlder = here.localeCompare(needed, 'en', { numeric: true }) < 0;
  return isOlder
    ? `The prebuilt one needs glibc ${needed} or later, and this system has glibc ${here}. `
    : '';
}

/**
 * The CPU addon, loaded at the first call.
 *
 * @throws SamError ERR_DEVICE_UNAVAILABLE that names every place looked at and how to build the addon
 */
export function native(): CpuAddon {
  return cpuLoader.get();
}

/** The CPU addon's state without throwing: for `ba-sam info`. */
export function nativeStatus(): AddonStatus<CpuAddon> {
  return cpuLoader.status();
}

/**
 * The CUDA addon, loaded at the first call. That there is one does not mean that there is a device.
 *
 * @throws SamError ERR_DEVICE_UNAVAILABLE that names every place looked at and how to get the addon
 */
export function cudaAddon(): CudaAddon {
  return cudaLoader.get();
}

/** The CUDA addon's state without throwing. */
export function cudaStatus(): AddonStatus<CudaAddon> {
  return cudaLoader.status();
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
function cpuCandidates(require: NodeJS.Require, reasons: string[]): string[] {
  const override = process.env.BA_SAM_ADDON;
  if (override) return [path.resolve(override)];
  const files = [path.join(PACKAGE_ROOT, 'build', 'Release', 'ba_sam.node')];
  try {
    const resolve = require('node-gyp-build') as { path(dir: string): string };
    const found = resolve.path(PACKAGE_ROOT);
    if (!files.includes(found) && path.basename(found) !== CUDA_FILE) files.push(found);
  } catch {
    // It takes a folder that cannot be read for an empty one: the reason is to be had from the folder.
    try {
      const names = readdirSync(PREBUILDS).filter((name) => name.endsWith('.node'));
      reasons.push(`${PREBUILDS}: none for this system but ${names.join(', ') || 'nothing'}`);
    } catch (error) {
      reasons.push(`${PREBUILDS}: ${whyNot(error)}`);
    }
  }
  return files;
}

function cudaCandidates(require: NodeJS.Require): string[] {
  const override = process.env.BA_SAM_CUDA_ADDON;
  if (override) return [path.resolve(override)];
  const files = [path.join(PACKAGE_ROOT, 'build-cuda', 'Release', CUDA_FILE)];
  try {
    files.push(path.join(path.dirname(require.resolve(`${CUDA_PACKAGE}/package.json`)), CUDA_FILE));
  } catch {
    // Not installed.
  }
  return [...files, path.join(PREBUILDS, CUDA_FILE)];
}

/** Undefined when the manifest cannot be read just now. */
function neededGlibc(): string | undefined {
  try {
    const manifest = readFileSync(path.join(PACKAGE_ROOT, 'package.json'), 'utf8');
    return (JSON.parse(manifest) as { binary: { glibc: string } }).binary.glibc;
  } catch {
    return undefined;
  }
}

/** Undefined on systems with another C library. */
function glibcVersion(): string | undefined {
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork?: boolean };
  const { excludeNetwork } = report;
  report.excludeNetwork = true; // it would look up the names of all connections, and wait for them
  try {
    return (report.getReport() as { header: { glibcVersionRuntime?: string } }).header.glibcVersionRuntime;
  } finally {
    report.excludeNetwork = excludeNetwork;
  }
}

/** Turns an error of the addon into a SamError; anything else passes unchanged. */
export function fromNative(error: unknown): unknown {
  if (error instanceof SamError || !(error instanceof Error)) return error;
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && code.startsWith('ERR_')
    ? new SamError(code as SamErrorCode, error.message)
    : error;
}
