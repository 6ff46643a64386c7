// Drawn scenes: the same bytes from the same seed, the same scene at every size, every kind as it claims to be.
import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Drawing, drawScene, makeScene, SCENE_KINDS, type Scene } from '../../../bench/study/scenes';
import { FINEST_CELL, textureAt } from '../../../bench/study/scenes/texture';
import type { BinaryMask } from '../../../lib/eval/types';

// One of each kind.
const SEEDS = Array.from({ length: 5 }, (_, i) => 500 + i);

function digest({ image, masks }: Drawing): string {
  const hash = createHash('sha256').update(image.data);
  for (const { data } of masks) hash.update(data);
  return hash.digest('hex').slice(0, 16);
}

/** Blocks of factor × factor pixels that are covered by more than half. */
function shrink({ data, width, height }: BinaryMask, factor: number): BinaryMask {
  const out = new Uint8Array((width / factor) * (height / factor));
  const counts = new Uint16Array(out.length);
  for (let p = 0; p < data.length; p++) {
    const x = Math.floor((p % width) / factor);
    const y = Math.floor(Math.floor(p / width) / factor);
    counts[(y * width) / factor + x] += data[p];
  }
  for (let p = 0; p < out.length; p++) out[p] = 2 * counts[p] > factor * factor ? 1 : 0;
  return { data: out, width: width / factor, height: height / factor };
}

function iou(a: Uint8Array, b: Uint8Array): number {
  let both = 0;
  let either = 0;
  for (let p = 0; p < a.length; p++) {
    both += a[p] & b[p];
    either += a[p] | b[p];
  }
  return both / either;
}

const area = ({ data }: BinaryMask): number => data.reduce((sum, value) => sum + value, 0);

describe('drawScene', () => {
  let scenes: Scene[];
  let small: Drawing[];
  let large: Drawing[];
  beforeAll(() => {
    scenes = SEEDS.map((seed) => makeScene(seed));
    small = scenes.map((scene) => drawScene(scene, 256));
    large = scenes.map((scene) => drawScene(scene, 1024));
  }, 60_000);

  it('draws the bytes that it always drew', () => {
    expect(small.map(digest)).toEqual(HASHES[256]);
    expect(scenes.map((scene) => digest(drawScene(scene, 384)))).toEqual(HASHES[384]);
  });

  it('draws the same bytes again', () => {
    expect(SEEDS.map((seed) => digest(drawScene(makeScene(seed), 256)))).toEqual(small.map(digest));
    expect(new Set(small.map(digest)).size).toBe(SEEDS.length);
  });

  it('gives masks that agree at 1× and 4×', () => {
    for (const [i, { masks }] of small.entries()) {
      expect(masks).toHaveLength(2);
      for (const [j, mask] of masks.entries()) {
        const rescaled = shrink(large[i].masks[j], 4);
        expect(iou(mask.data, rescaled.data), `scene ${SEEDS[i]}, target ${j}`).toBeGreaterThan(0.97);
      }
    }
  });

  it('shows the same content at 1× and 4×', () => {
    for (const [i, { image }] of small.entries()) {
      // Mean of 4 × 4 pixels, against the pixel in their place.
      const side = 1024;
      let sum = 0;
      for (let y = 0; y < 256; y++) {
        for (let x = 0; x < 256; x++) {
          for (let c = 0; c < 3; c++) {
            let total = 0;
            for (let dy = 0; dy < 4; dy++) {
              for (let dx = 0; dx < 4; dx++) {
                total += large[i].image.data[3 * ((4 * y + dy) * side + 4 * x + dx) + c];
              }
            }
            sum += Math.abs(total / 16 - image.data[3 * (y * 256 + x) + c]);
          }
        }
      }
      expect(sum / (3 * 256 * 256), `scene ${SEEDS[i]}`).toBeLessThan(3);
    }
  });

  it('takes any size, and refuses what is none', () => {
    const { image, masks } = drawScene(scenes[0], 100);
    expect(image.data).toHaveLength(3 * 100 * 100);
    expect(masks.every(({ data, width, height }) => data.length === width * height && width === 100)).toBe(
      true,
    );
    for (const side of [0, 15, 16.5, Number.NaN, 8193]) {
      expect(() => drawScene(scenes[0], side)).toThrow(/Expected integer between 16 and 8192 for side_px/);
    }
  });

  it('gives targets that do not overlap and are not empty', () => {
    for (const { masks } of large) {
      const [a, b] = masks;
      expect(a.data.some((value, p) => value & b.data[p])).toBe(false);
      expect(Math.min(area(a), area(b))).toBeGreaterThan(1024 * 1024 * 0.0004);
    }
  });
});

describe('makeScene', () => {
  const scenes = Array.from({ length: 100 }, (_, seed) => makeScene(seed));

  it('takes turns between the kinds', () => {
    for (const kind of SCENE_KINDS) {
      expect(scenes.filter((scene) => scene.kind === kind)).toHaveLength(20);
    }
  });

  it('uses every shape and every texture', () => {
    const objects = scenes.flatMap((scene) => scene.objects);
    expect(new Set(objects.map(({ shape }) => shape.kind))).toEqual(new Set(['blob', 'polygon', 'ring']));
    expect(new Set(objects.map(({ texture }) => texture.family)).size).toBe(6);
  });

  it('disguises camouflaged objects in the ground’s texture', () => {
    for (const { kind, ground, objects } of scenes) {
      const close = objects.every(
        ({ texture }) =>
          texture.family === ground.family &&
          texture.cell === ground.cell &&
          texture.dark.every((value, c) => Math.abs(value - ground.dark[c]) <= 24),
      );
      expect(close).toBe(kind === 'camouflage');
    }
  });

  it('makes clutter of many shapes alike, and wide scenes of small targets', () => {
    for (const { kind, objects, targets } of scenes) {
      if (kind === 'clutter') {
        expect(objects.length).toBeGreaterThan(15);
        expect(new Set(objects.map(({ shape, texture }) => `${shape.kind} ${texture.family}`)).size).toBe(1);
      }
      if (kind === 'context') {
        const radii = objects.map(({ shape }) => shape.radius);
        for (const target of targets) expect(radii[target]).toBeLessThan(0.05);
        expect(Math.max(...radii)).toBeGreaterThan(0.25);
      }
    }
  });

  it('hides a part of what is occluded, and little of anything else', () => {
    for (const scene of scenes.slice(0, 20)) {
      const { masks } = drawScene(scene, 128);
      for (const [i, target] of scene.targets.entries()) {
        const alone = drawScene({ ...scene, objects: [scene.objects[target]], targets: [0] }, 128).masks[0];
        const share = area(masks[i]) / area(alone);
        if (scene.kind === 'occlusion') expect(share).toBeLessThan(0.87);
        else expect(share).toBeGreaterThan(0.85);
        expect(share).toBeGreaterThan(0.3);
      }
    }
  });

  it('refuses seeds that are none', () => {
    for (const seed of [-1, 0.5, 2 ** 31, Number.NaN]) {
      expect(() => makeScene(seed)).toThrow(/Expected integer between 0 and 2147483647 for seed/);
    }
  });
});

describe('textureAt', () => {
  it('stays in [0, 1] and has nothing finer than its band', () => {
    const textures = Array.from({ length: 60 }, (_, seed) => makeScene(seed)).flatMap(
      ({ ground, objects }) => [ground, ...objects.map(({ texture }) => texture)],
    );
    let lowest = 1;
    let highest = 0;
    let steepest = 0;
    for (const texture of textures) {
      for (let i = 0; i < 200; i++) {
        const [x, y] = [((i * 7) % 200) / 200, ((i * 13) % 200) / 200];
        const value = textureAt(texture, x, y);
        lowest = Math.min(lowest, value);
        highest = Math.max(highest, value);
        // A quarter of a pixel at 256 px.
        steepest = Math.max(steepest, Math.abs(textureAt(texture, x + FINEST_CELL / 16, y) - value));
      }
    }
    expect(lowest).toBeGreaterThanOrEqual(0);
    expect(highest).toBeLessThanOrEqual(1);
    expect(highest - lowest).toBeGreaterThan(0.9);
    expect(steepest).toBeLessThan(0.35);
  });
});

const HASHES = {
  256: ['c495c18e5de5973b', '799a9347ab6c9b38', '8919c1b59e62271e', '403a35da9ce350aa', '62d05605e624ad67'],
  384: ['a9e6924c6f638b81', '8ef45d7f695f32a6', '7641836b3d6a7b3f', 'f9e7ad99a337383f', '8208c56d7548c860'],
};
