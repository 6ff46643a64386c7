// Where and in what a model computes. resolveCompute in device.ts checks what goes together.
import { z } from 'zod';
import { type OptionsOf, readAs, spelled } from './option';
import { badText } from './text';

/** `auto` takes the best that works and always ends at the CPU; `cuda` is `cuda:0`. */
export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;

export const DEVICE_PATTERN = /^(auto|cpu|cuda(?::(\d{1,3}))?)$/;
export const DEVICES = 'auto, cpu, cuda or cuda:<index>';

const isDevice = (value: unknown): value is Device => typeof value === 'string' && DEVICE_PATTERN.test(value);

function readDevice(text: string, name: string): Device {
  if (!isDevice(text)) throw badText(name, DEVICES, text);
  return text;
}

/** One of the devices, by name; whether it is there is another question. */
export const knownDevice = readAs(z.custom<Device>(isDevice, { error: `Expected ${DEVICES}` }), readDevice);

// Any text here: resolveDevice refuses what is no device, in the same words wherever a device is named.
export const deviceText = readAs(
  z.custom<Device>((value) => typeof value === 'string', { error: 'Expected string' }),
  readDevice,
);

export const dtype = z.enum(['f32', 'bf16', 'f16']);

/** Dtypes that a model can compute in on some device. */
export type ComputeDType = z.infer<typeof dtype>;

export const computeShape = {
  /** Default `auto`. */
  device: spelled(deviceText, '--device <device>', DEVICES).default('auto'),
  /** What the image encoder computes in; default `f32`. On the CPU `bf16` needs AVX-512; `f16` is for CUDA. */
  dtype: spelled(dtype, '--dtype <dtype>', '').default('f32'),
  /** CUDA with dtype f32: products round their operands to 10 bits of mantissa, for speed. Default false. */
  tf32: spelled(z.boolean(), '--tf32', 'CUDA with f32: products with operands of 10 bits, for speed').default(
    false,
  ),
  /**
   * Linear layers of the image encoder's blocks round their operands to 8 bits (e4m3), for speed on CUDA devices of compute
   * capability 9.0; docs/cuda.md says what it costs in accuracy. The CPU rounds alike, and is slower for it. Default false.
   */
  f8: spelled(
    z.boolean(),
    '--f8',
    'linear layers of the image encoder with operands of 8 bits (e4m3)',
  ).default(false),
};

export interface ComputeOptions extends OptionsOf<typeof computeShape> {}
