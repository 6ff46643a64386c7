// Which device a model runs on, and why not another.
import { invalidArgument, SamError } from './errors';
import { nativeStatus } from './native';

/** `auto` takes the best that works and always ends at the CPU; `cuda` is `cuda:0`. */
export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;

/** One backend as `ba-sam info` shows it. */
export interface BackendStatus {
  readonly backend: 'cpu' | 'cuda';
  readonly available: boolean;
  /** Why not, when it is unavailable. */
  readonly reason?: string;
}

const CUDA_REASON = 'this version of ba-sam has no CUDA backend';

/** Every backend with the reason when it cannot be used. */
export function backends(): BackendStatus[] {
  const cpu = nativeStatus();
  return [
    cpu.addon
      ? { backend: 'cpu', available: true }
      : { backend: 'cpu', available: false, reason: cpu.reason },
    { backend: 'cuda', available: false, reason: CUDA_REASON },
  ];
}

/**
 * The device that a request ends at.
 *
 * @throws SamError ERR_INVALID_ARGUMENT (unknown device), ERR_DEVICE_UNAVAILABLE with every reason
 */
export function resolveDevice(device: Device): 'cpu' {
  if (typeof device !== 'string' || !/^(auto|cpu|cuda(:\d{1,3})?)$/.test(device)) {
    throw invalidArgument('device', 'auto, cpu, cuda or cuda:<index>', device);
  }
  if (device.startsWith('cuda')) {
    throw new SamError(
      'ERR_DEVICE_UNAVAILABLE',
      `Device ${device} cannot be used: ${CUDA_REASON}; use device cpu or auto`,
    );
  }
  return 'cpu';
}
