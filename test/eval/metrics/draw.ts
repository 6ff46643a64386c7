// Masks, predictions and COCO scenes by formulas: integers only, the same as in test/reference/make_metrics.py.

import type { Detection, ImageDetections } from '../../../lib/eval/metrics';
import type { BinaryMask, Instance, SoftMask } from '../../../lib/eval/types';

/** Uniform in [0, 2^32). */
export function noise(x: number, y: number, seed: number): number {
  let h = (Math.imul(x, 374761393) + Math.imul(y, 668265263) + Math.imul(seed, 2246822519)) >>> 0;
  h = Math.imul(h ^ (h >>> 13), 1274126177) >>> 0;
  return (h ^ (h >>> 16)) >>> 0;
}

function maskOf(width: number, height: number, inside: (x: number, y: number) => boolean): BinaryMask {
  const data = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) data[y * width + x] = +inside(x, y);
  return { data, width, height };
}

export function disc(width: number, height: number, cx: number, cy: number, r: number): BinaryMask {
  return maskOf(width, height, (x, y) => (x - cx) ** 2 + (y - cy) ** 2 < r * r);
}

const floor = Math.floor;

export function drawMask(kind: string, w: number, h: number, seed: number): BinaryMask {
  const small = Math.min(w, h);
  switch (kind) {
    case 'empty':
      return maskOf(w, h, () => false);
    case 'full':
      return maskOf(w, h, () => true);
    case 'pixel':
      return maskOf(w, h, (x, y) => x === floor(w / 3) && y === floor(h / 2));
    case 'left':
      return maskOf(w, h, (x) => 2 * x < w);
    case 'diagonal':
      return maskOf(w, h, (x, y) => (4 * x < w && 4 * y < h) || (4 * x >= 3 * w && 4 * y >= 3 * h));
    case 'blobs': {
      const discs = [0, 1, 2, 3].map((k) =>
        disc(w, h, noise(k, 1, seed) % w, noise(k, 2, seed) % h, 2 + (noise(k, 3, seed) % floor(small / 3))),
      );
      return maskOf(w, h, (x, y) => discs.some(({ data }) => data[y * w + x] === 1));
    }
    case 'ring': {
      const [cx, cy, r] = [floor(w / 2), floor(h / 2), 2 + floor(small / 3)];
      return maskOf(w, h, (x, y) => {
        const d = (x - cx) ** 2 + (y - cy) ** 2;
        return (d < r * r && 4 * d >= r * r) || (x - cx) ** 2 + (y - cy + 1) ** 2 < 9;
      });
    }
    case 'thin': {
      const [a, b] = [1 + (noise(0, 4, seed) % 3), 1 + (noise(0, 5, seed) % 4)];
      return maskOf(
        w,
        h,
        (x, y) =>
          Math.abs(a * x - b * y) < 2 * Math.max(a, b) ||
          Math.abs(x - floor(w / 2)) < 2 ||
          (y - floor(h / 3)) ** 2 * 9 < x ||
          (x % 23 === 5 && y > floor(h / 2)),
      );
    }
    case 'noise':
      return maskOf(w, h, (x, y) => noise(x, y, seed) % 100 < 20 + (seed % 60));
    case 'texture':
      return maskOf(w, h, (x, y) => noise(floor(x / 3), floor(y / 2), seed) % 100 < 45);
    default:
      throw new Error(`No mask is called ${kind}`);
  }
}

export function shifted({ data, width, height }: BinaryMask, dx: number, dy: number): BinaryMask {
  return maskOf(width, height, (x, y) => {
    const [u, v] = [x - dx, y - dy];
    return u >= 0 && v >= 0 && u < width && v < height && data[v * width + u] === 1;
  });
}

function blur({ data, width, height }: BinaryMask, radius: number): number[] {
  const area = (2 * radius + 1) ** 2;
  return Array.from(data, (_, i) => {
    const x = i % width;
    const y = floor(i / width);
    let sum = 0;
    for (let v = Math.max(y - radius, 0); v <= Math.min(y + radius, height - 1); v++) {
      for (let u = Math.max(x - radius, 0); u <= Math.min(x + radius, width - 1); u++)
        sum += data[v * width + u]!;
    }
    return floor((255 * sum) / area);
  });
}

const clamp = (value: number, most: number): number => Math.min(Math.max(value, 0), most);

/** Levels, and the level that stands for 1. */
export function drawLevels(kind: string, truth: BinaryMask, seed: number): { levels: number[]; top: number } {
  const { width: w, height: h, data } = truth;
  const moved = shifted(truth, (seed % 5) - 2, (seed % 3) - 1);
  const at = (level: (x: number, y: number) => number): number[] =>
    Array.from(data, (_, i) => level(i % w, floor(i / w)));
  switch (kind) {
    case 'perfect':
      return { levels: Array.from(data, (v) => 255 * v), top: 255 };
    case 'inverse':
      return { levels: Array.from(data, (v) => 255 * (1 - v)), top: 255 };
    case 'binary':
      return { levels: Array.from(moved.data, (v) => 255 * v), top: 255 };
    case 'other':
      return { levels: Array.from(drawMask('blobs', w, h, seed + 1).data, (v) => 255 * v), top: 255 };
    case 'zero':
      return { levels: at(() => 0), top: 255 };
    case 'flat':
      return { levels: at(() => 1 + ((seed * 37) % 254)), top: 255 };
    case 'one':
      return { levels: at(() => 255), top: 255 };
    case 'soft':
      return { levels: blur(moved, 4), top: 255 };
    case 'dim':
      return { levels: blur(moved, 3).map((v) => 31 + floor(v / 2)), top: 255 };
    case 'plateaus':
      return {
        levels: at((x, y) => [0, 77, 77, 200][(floor((x * 4) / w) + floor((y * 3) / h)) % 4]!),
        top: 255,
      };
    case 'noisy': {
      const soft = blur(moved, 2);
      return { levels: at((x, y) => clamp(soft[y * w + x]! + (noise(x, y, seed) % 80) - 40, 255)), top: 255 };
    }
    case 'fine': {
      const soft = blur(moved, 5);
      return {
        levels: at((x, y) => clamp(soft[y * w + x]! * 200 + (noise(x, y, seed) % 9000), 65535)),
        top: 65536,
      };
    }
    default:
      throw new Error(`No prediction is called ${kind}`);
  }
}

export function toSoft(levels: readonly number[], top: number, { width, height }: BinaryMask): SoftMask {
  return { data: Float32Array.from(levels, (level) => level / top), width, height };
}

/** FNV-1a of the numbers' four bytes. */
export function hashed(numbers: Iterable<number>): number {
  let h = 2166136261;
  for (const n of numbers) {
    for (const shift of [0, 8, 16, 24]) h = Math.imul(h ^ ((n >> shift) & 255), 16777619) >>> 0;
  }
  return h;
}

/** Indices of the pixels inside. */
export function flatNonzero(mask: Uint8Array): number[] {
  return [...mask.keys()].filter((i) => mask[i] !== 0);
}

export function drawCoco(images: number, seed: number): ImageDetections[] {
  return Array.from({ length: images }, (_, i) => {
    const [w, h] = [150 + 7 * (i % 4), 130];
    const n = (k: number, salt: number, most: number): number => noise(k + 100 * i, salt, seed) % most;
    const instances: Instance[] = [];
    const detections: Detection[] = [];
    for (let k = 0; k < (i === 3 ? 0 : 1 + n(0, 10, 5)); k++) {
      const r = 3 + n(k, 11, 60);
      const mask = disc(w, h, n(k, 12, w), n(k, 13, h), r);
      const category = 1 + n(k, 14, 3);
      const pixels = mask.data.reduce((a, b) => a + b);
      const area = floor((pixels * 9) / 10) + 1;
      instances.push({ id: k, category, crowd: n(k, 15, 6) === 0, area, box: [0, 0, 1, 1], mask });
      for (let j = 0; j < n(k, 16, 4); j++) {
        detections.push({
          mask: shifted(mask, n(k, 17 + j, 7) - 3, n(k, 27 + j, 7) - 3),
          category: n(k, 37 + j, 5) !== 0 ? category : 1 + (category % 3),
          score: n(k, 47 + j, 12) / 16,
        });
      }
    }
    for (let k = 0; k < (i === 1 ? 130 : n(0, 60, 9)); k++) {
      const r = 2 + n(k, 61, 20);
      detections.push({
        mask: disc(w, h, n(k, 62, w), n(k, 63, h), r),
        category: i === 1 ? 2 : 1 + n(k, 64, 4),
        score: n(k, 65, 10) / 16,
      });
    }
    return { image: i, instances, detections };
  });
}
