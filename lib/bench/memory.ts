// Peaks of memory of this process and of its models on a GPU.
import { readFileSync, writeFileSync } from 'node:fs';
import type { ResolvedDevice } from '../device';
import { cudaAddon } from '../native';

/**
 * Starts both peaks anew from what is taken now. Where the kernel does not let a process reset its own (see proc(5),
 * clear_refs), the peak of resident memory stays that of the whole process.
 */
export function resetPeaks(device: ResolvedDevice): void {
  globalThis.gc?.();
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    // The peak then counts what came before, too.
  }
  if (device.kind === 'cuda') cudaAddon().resetPeakBytes(device.index);
}

/** Peaks in MiB. */
export interface Peaks {
  /** Of resident memory of this process. */
  readonly peak_rss_mb: number;
  /** CUDA: of what this process's models took of the device's memory: weights, arena, inputs and workspaces. */
  readonly peak_device_mb?: number;
}

export function peaks(device: ResolvedDevice): Peaks {
  const rss = round(residentPeak_bytes());
  if (device.kind === 'cpu') return { peak_rss_mb: rss };
  const card = cudaAddon()
    .info()
    .devices.find(({ index }) => index === device.index);
  return { peak_rss_mb: rss, ...(card && { peak_device_mb: round(card.peakBytes) }) };
}

// Not resourceUsage().maxRSS: a process begins with its parent's as its own.
function residentPeak_bytes(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  const peak = /^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1];
  return peak === undefined ? process.resourceUsage().maxRSS * 1024 : Number(peak) * 1024;
}

const round = (bytes: number) => Number((bytes / 2 ** 20).toFixed(1));
