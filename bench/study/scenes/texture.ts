// Textures of drawn scenes: functions of continuous scene coordinates, with nothing finer than a band limit, so that
// every size shows the same surface. Scene coordinates run from 0 to 1 along the side of the scene.
import { hash32 } from '../../../lib/bench/hash32';

/** Red, green, blue: 0 … 255. */
export type Rgb = readonly [number, number, number];

export const TEXTURE_FAMILIES = ['cloud', 'blotches', 'stripes', 'checks', 'dots', 'speckle'] as const;
export type TextureFamily = (typeof TEXTURE_FAMILIES)[number];

/** A surface of two colours. */
export interface Texture {
  readonly family: TextureFamily;
  readonly seed: number;
  /** Length of the pattern in scene units, at least {@link FINEST_CELL}. */
  readonly cell: number;
  /** Unit vector across the pattern. */
  readonly direction: readonly [number, number];
  readonly dark: Rgb;
  readonly bright: Rgb;
}

/**
 * Cell of the finest noise: 1/64 of the scene, 4 px at 256 px. Patterns are sampled at the middle of a pixel, without a
 * filter, so their contrast is the same at every size from there on.
 */
export const FINEST_CELL = 1 / 64;

function smooth(t: number): number {
  return t * t * (3 - 2 * t);
}

/** 0 below `low`, 1 above `high`, smooth in between. */
function smoothstep(low: number, high: number, value: number): number {
  return smooth(Math.min(1, Math.max(0, (value - low) / (high - low))));
}

/** Value noise in [0, 1]: random numbers on the integer lattice, interpolated smoothly. */
export function valueNoise(x: number, y: number, seed: number): number {
  const ix = Math.floor(x);
  const iy = Math.floor(y);
  const tx = smooth(x - ix);
  const ty = smooth(y - iy);
  const top = hash32(ix, iy, seed) * (1 - tx) + hash32(ix + 1, iy, seed) * tx;
  const bottom = hash32(ix, iy + 1, seed) * (1 - tx) + hash32(ix + 1, iy + 1, seed) * tx;
  return (top * (1 - ty) + bottom * ty) / 2 ** 32;
}

/** Up to three octaves of noise in [0, 1], the first with cells of `cell`, none finer than {@link FINEST_CELL}. */
function fractalNoise(x: number, y: number, cell: number, seed: number): number {
  let sum = 0;
  let total = 0;
  for (let octave = 0, size = cell; octave < 3 && size >= FINEST_CELL; octave++, size /= 2) {
    const weight = 1 / (1 << octave);
    sum += weight * valueNoise(x / size, y / size, seed + octave);
    total += weight;
  }
  return sum / total;
}

/** A smooth wave of period 1 in [0, 1]. */
function wave(t: number): number {
  const phase = t - Math.floor(t);
  return smooth(phase < 0.5 ? 2 * phase : 2 - 2 * phase);
}

/** Share of the bright colour at a point, in [0, 1]. */
export function textureAt(texture: Texture, x: number, y: number): number {
  const { family, seed, cell, direction } = texture;
  // Coordinates along the pattern; cells are square.
  const u = (x * direction[0] + y * direction[1]) / cell;
  const v = (y * direction[0] - x * direction[1]) / cell;
  switch (family) {
    case 'cloud':
      return fractalNoise(x, y, cell, seed);
    case 'blotches':
      return smoothstep(0.4, 0.6, fractalNoise(x, y, cell, seed));
    case 'stripes':
      return wave(u / 2 + 0.6 * valueNoise(u / 3, v / 3, seed));
    case 'checks':
      return smoothstep(0.2, 0.8, wave(u / 2) * wave(v / 2) + (1 - wave(u / 2)) * (1 - wave(v / 2)));
    case 'dots':
      return dots(u, v, seed);
    case 'speckle':
      return smoothstep(0.25, 0.75, valueNoise(u, v, seed));
  }
}

// Three of four cells hold a disc whose brightness is the cell's own.
function dots(u: number, v: number, seed: number): number {
  const iu = Math.floor(u);
  const iv = Math.floor(v);
  const random = hash32(iu, iv, seed);
  if ((random & 3) === 0) return 0;
  const du = u - iu - 0.5;
  const dv = v - iv - 0.5;
  return (0.5 + (random >>> 24) / 512) * (1 - smoothstep(0.3, 0.45, Math.sqrt(du * du + dv * dv)));
}
