// Element types that checkpoint files name, and what a tensor of them weighs.

// The order is that of the official safetensors writer, smallest alignment first: it sorts tensors by it.
const BITS = {
  bool: 8,
  f4: 4,
  f6_e2m3: 6,
  f6_e3m2: 6,
  u8: 8,
  i8: 8,
  f8_e5m2: 8,
  f8_e4m3: 8,
  f8_e8m0: 8,
  f8_e4m3fnuz: 8,
  f8_e5m2fnuz: 8,
  i16: 16,
  u16: 16,
  f16: 16,
  bf16: 16,
  i32: 32,
  u32: 32,
  c32: 32,
  f32: 32,
  c64: 64,
  f64: 64,
  i64: 64,
  u64: 64,
  c128: 128,
} as const;

/** An element type in a checkpoint. Weights must be `f32`, `f16` or `bf16`; the others can only be listed and read. */
export type CheckpointDType = keyof typeof BITS;

/** Element types that weights may have. */
export const WEIGHT_DTYPES = ['f32', 'f16', 'bf16'] as const;
export type WeightDType = (typeof WEIGHT_DTYPES)[number];

const ORDER = Object.keys(BITS) as CheckpointDType[];

/** Bits of one element; 4 and 6 exist. */
export function dtypeBits(dtype: CheckpointDType): number {
  return BITS[dtype];
}

/** The element type called `name` (lower case), or undefined. Safe for hostile names such as `__proto__`. */
export function parseDType(name: string): CheckpointDType | undefined {
  return Object.hasOwn(BITS, name) ? (name as CheckpointDType) : undefined;
}

/** Position in the official writer's order. */
export function dtypeRank(dtype: CheckpointDType): number {
  return ORDER.indexOf(dtype);
}

/** The largest number of dimensions that is believed; PyTorch itself stops at 64. */
export const MAX_DIMENSIONS = 64;

/**
 * Bytes of a contiguous tensor, or undefined when the product leaves the exact integers or does not fill
 * whole bytes.
 */
export function tensorBytes(dtype: CheckpointDType, shape: readonly number[]): number | undefined {
  let elements = 1;
  for (const size of shape) {
    if (!(Number.isSafeInteger(size) && size >= 0)) return undefined;
    elements *= size;
    // Checked at every step: [2^40, 2^40, 0] must not end as a harmless zero.
    if (!(elements <= Number.MAX_SAFE_INTEGER)) return undefined;
  }
  const bits = elements * BITS[dtype];
  if (!(bits <= Number.MAX_SAFE_INTEGER) || bits % 8 !== 0) return undefined;
  return bits / 8;
}

/** Little-endian elements as f32, which holds every one of them exactly. @param bytes aligned to 4; f32 shares them */
export function toFloat32(bytes: Uint8Array, dtype: WeightDType): Float32Array {
  const { buffer, byteOffset, byteLength } = bytes;
  if (dtype === 'f32') return new Float32Array(buffer, byteOffset, byteLength / 4);
  const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
  if (dtype === 'f16') return Float32Array.from(halves, f16);
  return new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer);
}

function f16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}
