// Which device a model runs on, and why not another.
import type { CudaDevice, CudaInfo } from './addon';
import { invalidArgument, SamError } from './errors';
import { cudaStatus, native, nativeStatus } from './native';
import {
  type ComputeDType,
  type ComputeOptions,
  DEVICE_PATTERN,
  DEVICES,
  type Device,
} from './options/compute';

export type { Device };

/** The device that a request ended at. */
export type ResolvedDevice = { readonly kind: 'cpu' } | { readonly kind: 'cuda'; readonly index: number };

/** One backend as `ba-sam info` shows it. */
export interface BackendStatus {
  readonly backend: 'cpu' | 'cuda';
  readonly available: boolean;
  /** Why not, when it is unavailable. */
  readonly reason?: string;
  /** CUDA: every GPU that the driver shows, usable or not. */
  readonly devices?: readonly CudaDevice[];
}

/** The first with tensor cores for e4m3. */
const F8_CAPABILITY = 8.9;

/** Every backend with the reason when it cannot be used. Looks for the CUDA addon and its devices. */
export function backends(): BackendStatus[] {
  const cpu = nativeStatus();
  return [
    cpu.addon
      ? { backend: 'cpu', available: true }
      : { backend: 'cpu', available: false, reason: cpu.reason },
    cudaBackend(),
  ];
}

function cudaBackend(): BackendStatus {
  const { addon, reason } = cudaStatus();
  if (!addon) return { backend: 'cuda', available: false, reason };
  const info = addon.info();
  const { devices } = info;
  if (usable(info) !== undefined) return { backend: 'cuda', available: true, devices };
  return { backend: 'cuda', available: false, reason: generalReasons(info).join('; '), devices };
}

/**
 * The device that a request ends at. `cpu` never looks for CUDA.
 *
 * @throws SamError ERR_INVALID_ARGUMENT (unknown device), ERR_DEVICE_UNAVAILABLE with every reason
 */
export function resolveDevice(device: Device): ResolvedDevice {
  const match = typeof device === 'string' ? DEVICE_PATTERN.exec(device) : null;
  if (!match) throw invalidArgument('device', DEVICES, device);
  if (device === 'cpu') return { kind: 'cpu' };
  const { addon, reason } = cudaStatus();
  if (device === 'auto') {
    const index = addon && usable(addon.info());
    return index === undefined ? { kind: 'cpu' } : { kind: 'cuda', index };
  }
  const index = Number(match[2] ?? 0);
  const reasons = addon ? reasonsAgainst(index, addon.info()) : [reason];
  if (reasons.length === 0) return { kind: 'cuda', index };
  throw new SamError(
    'ERR_DEVICE_UNAVAILABLE',
    `Device ${device} cannot be used: ${reasons.join('; ')}. Use device cpu or auto`,
  );
}

/** `cpu` or `cuda:<index>`. */
export function deviceName(device: ResolvedDevice): 'cpu' | `cuda:${number}` {
  return device.kind === 'cpu' ? 'cpu' : `cuda:${device.index}`;
}

/**
 * Device, dtype, tf32 and f8 that a model is to run with, checked together.
 *
 * @throws SamError ERR_INVALID_ARGUMENT, ERR_DEVICE_UNAVAILABLE
 */
export function resolveCompute(request: ComputeOptions): {
  device: ResolvedDevice;
  dtype: ComputeDType;
  tf32: boolean;
  f8: boolean;
} {
  const { dtype = 'f32', tf32 = false, f8 = false } = request;
  if (tf32 && dtype !== 'f32') {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected no tf32 together with dtype ${dtype}: it rounds the operands of f32 products`,
    );
  }
  const device = resolveDevice(request.device ?? 'auto');
  const reason = device.kind === 'cpu' ? unavailableOnCpu(dtype, tf32) : f8 ? noF8On(device.index) : '';
  if (reason) throw new SamError('ERR_DEVICE_UNAVAILABLE', reason);
  return { device, dtype, tf32, f8 };
}

/** Why a CUDA device has no products of e4m3, as far as can be told before cuBLASLt is asked for one; empty if it may. */
function noF8On(index: number): string {
  const device = cudaStatus()
    .addon?.info()
    .devices.find((one) => one.index === index);
  if (!device || Number(device.computeCapability) >= F8_CAPABILITY) return '';
  return (
    `Expected no f8 on ${device.name}: products of e4m3 need compute capability ${F8_CAPABILITY} or later, ` +
    `not ${device.computeCapability}`
  );
}

function unavailableOnCpu(dtype: ComputeDType, tf32: boolean): string {
  if (tf32) return 'Expected no tf32 on the CPU: it needs a CUDA device';
  if (dtype === 'f16')
    return 'Expected dtype f32 or bf16 on the CPU but received f16; f16 needs a CUDA device';
  return dtype === 'bf16' ? native().info().bf16UnavailableReason : '';
}

/** Index of the first device that can be used. */
function usable(info: CudaInfo): number | undefined {
  if (info.unavailableReason !== '' || 'reason' in info.cublasLt) return undefined;
  return info.devices.find((device) => !device.reason)?.index;
}

/** What is wrong whichever device is meant; empty when some device can be used. */
function generalReasons({ unavailableReason, cublasLt }: CudaInfo): string[] {
  const reasons = [unavailableReason, 'reason' in cublasLt ? cublasLt.reason : ''];
  return [...new Set(reasons)].filter((reason) => reason !== '');
}

function reasonsAgainst(index: number, info: CudaInfo): string[] {
  const reasons = generalReasons(info);
  const count = info.devices.length;
  const device = info.devices.find((one) => one.index === index);
  if (device?.reason && !reasons.some((reason) => reason.includes(device.reason!))) {
    reasons.push(`${device.name}: ${device.reason}`);
  }
  if (!device && count > 0) {
    reasons.push(
      count === 1 ? 'there is one device, cuda:0' : `there are ${count} devices, cuda:0 to cuda:${count - 1}`,
    );
  }
  if (!device && reasons.length === 0) reasons.push('there is no CUDA device');
  return reasons;
}
