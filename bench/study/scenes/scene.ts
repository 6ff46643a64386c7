// Makes scenes out of seeds: what lies where, and which objects are asked for.
import { invalidArgument, SamError } from '../../../lib/errors';
import { Random } from '../random';
import { topmost } from './draw';
import { randomShape, SHAPE_KINDS, type ShapeKind } from './shape';
import { type Rgb, TEXTURE_FAMILIES, type Texture, type TextureFamily } from './texture';
import { SCENE_KINDS, type Scene, type SceneKind, type SceneObject } from './types';

/** Objects of a scene that prompts ask for. */
export const TARGETS_PER_SCENE = 2;
/** Side at which a new scene's objects are looked at, px. */
const SURVEY_SIDE = 256;
const ATTEMPTS = 50;

/** Ground and objects, and which of them may become targets. */
interface Layout {
  readonly ground: Texture;
  readonly objects: SceneObject[];
  readonly candidates: number[];
}

/**
 * The scene of a seed: the same description in every run and on every machine. Kinds take turns:
 * `SCENE_KINDS[seed % 5]`.
 *
 * @param seed integer from 0 to 2³¹ − 1
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function makeScene(seed: number): Scene {
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 31) {
    throw invalidArgument('seed', 'integer between 0 and 2147483647', seed);
  }
  const kind = SCENE_KINDS[seed % SCENE_KINDS.length];
  // A layout whose objects hide each other, or found no room, is thrown away.
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const random = new Random(seed, attempt);
    const layout = LAYOUTS[kind](random);
    const targets = chooseTargets(layout, kind, random);
    if (targets.length < TARGETS_PER_SCENE) continue;
    return {
      seed,
      kind,
      ground: layout.ground,
      objects: layout.objects,
      targets,
      shading: { direction: random.direction(), strength: random.between(0.02, 0.2) },
      noise: { amplitude: random.between(0, 14), seed: random.bits() },
    };
  }
  throw new SamError('ERR_INTERNAL', `No layout for scene ${seed} (${kind}) shows enough of its objects`);
}

// A target's middle lies in the scene, and enough of it is seen. Where things are meant to cover each other, at least
// a sixth of it is hidden.
function chooseTargets({ objects, candidates }: Layout, kind: SceneKind, random: Random): number[] {
  const seen = new Uint32Array(256);
  for (const object of topmost(objects, SURVEY_SIDE)) seen[object]++;
  const fits = (index: number): boolean => {
    const { center } = objects[index].shape;
    if (center.some((value) => value < 0.03 || value > 0.97)) return false;
    const whole = topmost([objects[index]], SURVEY_SIDE).reduce((sum, top) => sum + (top === 0 ? 1 : 0), 0);
    const share = seen[index] / whole;
    return kind === 'occlusion' ? share > 0.35 && share < 5 / 6 : share > 0.9;
  };
  const shuffled = random.shuffled(candidates).filter(fits);
  return shuffled.slice(0, TARGETS_PER_SCENE);
}

const LAYOUTS: Record<SceneKind, (random: Random) => Layout> = {
  simple(random) {
    const ground = randomTexture(random);
    const room = new Room();
    const objects: SceneObject[] = [];
    for (let i = random.integer(3, 5); i > 0; i--) {
      const radius = random.between(0.08, 0.18);
      const center = room.take(random, radius, 1.35);
      if (center) objects.push(randomObject(random, center, radius, distinctTexture(random, [ground])));
    }
    return { ground, objects, candidates: [...objects.keys()] };
  },

  occlusion(random) {
    const ground = randomTexture(random);
    const objects = Array.from({ length: random.integer(5, 8) }, (_, i) => {
      const center = [random.between(0.15, 0.85), random.between(0.15, 0.85)] as const;
      const texture = distinctTexture(random, [ground]);
      // A ring now and then lets what is behind it show in its hole.
      return randomObject(
        random,
        center,
        random.between(0.12, 0.24),
        texture,
        i % 3 === 2 ? 'ring' : undefined,
      );
    });
    return { ground, objects, candidates: [...objects.keys()] };
  },

  camouflage(random) {
    // A pattern must repeat within the objects to say anything about them.
    const ground = randomTexture(random, { coarsest: 1 / 14 });
    const room = new Room();
    const objects: SceneObject[] = [];
    for (let i = random.integer(2, 3); i > 0; i--) {
      const radius = random.between(0.1, 0.2);
      const center = room.take(random, radius, 1.35);
      if (!center) continue;
      const object = randomObject(random, center, radius, disguised(random, ground));
      objects.push({ ...object, shading: { ...object.shading, strength: random.between(0, 0.08) } });
    }
    return { ground, objects, candidates: [...objects.keys()] };
  },

  clutter(random) {
    const ground = randomTexture(random);
    const kind = random.pick(SHAPE_KINDS);
    const texture = distinctTexture(random, [ground]);
    const radius = random.between(0.035, 0.065);
    const room = new Room();
    const objects: SceneObject[] = [];
    for (let i = random.integer(24, 48); i > 0; i--) {
      const size = radius * random.between(0.85, 1.15);
      const center = room.take(random, size, 1.3);
      if (!center) continue;
      const like = { ...shifted(texture, random, 12), seed: random.bits(), direction: random.direction() };
      objects.push(randomObject(random, center, size, like, kind));
    }
    return { ground, objects, candidates: [...objects.keys()] };
  },

  context(random) {
    const ground = randomTexture(random);
    const textures = [ground];
    const objects: SceneObject[] = [];
    const add = (center: readonly [number, number], radius: number, kind?: ShapeKind) => {
      const texture = distinctTexture(random, textures.slice(0, 4));
      textures.push(texture);
      objects.push(randomObject(random, center, radius, texture, kind));
    };
    // Regions, then things to be seen in front of them, then what is asked for.
    for (let i = random.integer(2, 3); i > 0; i--) {
      add([random.between(0, 1), random.between(0, 1)], random.between(0.25, 0.45), 'blob');
    }
    const room = new Room();
    const small: number[] = [];
    for (let i = 0; i < 3; i++) {
      const radius = random.between(0.025, 0.045);
      const center = room.take(random, radius, 3);
      if (!center) continue;
      small.push(objects.length);
      add(center, radius, random.pick(['blob', 'polygon']));
    }
    for (let i = random.integer(3, 6); i > 0; i--) {
      const radius = random.between(0.06, 0.12);
      const center = room.take(random, radius, 1.3);
      if (center) add(center, radius);
    }
    return { ground, objects, candidates: small };
  },
};

/** Places for discs that keep apart. */
class Room {
  private readonly discs: { x: number; y: number; radius: number }[] = [];

  /** A place for a disc of `radius` · `spacing`, or nothing when none was found. */
  take(random: Random, radius: number, spacing: number): readonly [number, number] | undefined {
    const margin = Math.min(0.45, radius);
    for (let i = 0; i < 40; i++) {
      const x = random.between(margin, 1 - margin);
      const y = random.between(margin, 1 - margin);
      const own = radius * spacing;
      const free = this.discs.every(
        (disc) => (disc.x - x) ** 2 + (disc.y - y) ** 2 > (disc.radius + own) ** 2,
      );
      if (!free) continue;
      this.discs.push({ x, y, radius: own });
      return [x, y];
    }
    return undefined;
  }
}

function randomObject(
  random: Random,
  center: readonly [number, number],
  radius: number,
  texture: Texture,
  kind: ShapeKind = random.pick(SHAPE_KINDS),
): SceneObject {
  return {
    shape: randomShape(random, kind, center, radius),
    texture,
    shading: { direction: random.direction(), strength: random.between(0, 0.25) },
  };
}

/** Finest cells at which a family's edges are still drawn by two pixels and more at 256 px. */
const FINEST: Record<TextureFamily, number> = {
  cloud: 1 / 32,
  blotches: 1 / 24,
  stripes: 1 / 36,
  checks: 1 / 30,
  dots: 1 / 22,
  speckle: 1 / 60,
};

function randomTexture(random: Random, { coarsest = 1 / 5 } = {}): Texture {
  const family = random.pick(TEXTURE_FAMILIES);
  const base = [0, 1, 2].map(() => random.between(40, 200));
  const contrast = random.between(0.25, 0.7);
  const tint = [0, 1, 2].map(() => random.between(-25, 25));
  return {
    family,
    seed: random.bits(),
    cell: random.between(FINEST[family], family === 'speckle' ? 1 / 30 : coarsest),
    direction: random.direction(),
    dark: rgb(base.map((value) => value * (1 - contrast / 2))),
    bright: rgb(base.map((value, c) => value * (1 + contrast / 2) + tint[c])),
  };
}

/** A texture whose mean colour is far from those of others, or the farthest of some. */
function distinctTexture(random: Random, others: readonly Texture[]): Texture {
  let best: Texture | undefined;
  let farthest = -1;
  for (let i = 0; i < 12 && farthest < 60; i++) {
    const texture = randomTexture(random);
    const distance = Math.min(...others.map((other) => colorDistance(texture, other)));
    if (distance > farthest) [best, farthest] = [texture, distance];
  }
  return best!;
}

/** The ground's own texture at another place and angle, in colours that differ by a few grey levels. */
function disguised(random: Random, ground: Texture): Texture {
  const texture = { ...ground, seed: random.bits(), direction: random.direction() };
  const by = random.between(10, 24) * random.sign();
  const toward = [0, 1, 2].map(() => random.between(0.3, 1));
  const move = (color: Rgb) => rgb(color.map((value, c) => value + by * toward[c]));
  return { ...texture, dark: move(ground.dark), bright: move(ground.bright) };
}

function shifted(texture: Texture, random: Random, levels: number): Texture {
  const by = [0, 1, 2].map(() => random.between(-levels, levels));
  const move = (color: Rgb) => rgb(color.map((value, c) => value + by[c]));
  return { ...texture, dark: move(texture.dark), bright: move(texture.bright) };
}

function rgb(channels: readonly number[]): Rgb {
  const [r, g, b] = channels.map((value) => Math.min(255, Math.max(0, Math.round(value))));
  return [r, g, b];
}

function colorDistance(a: Texture, b: Texture): number {
  let sum = 0;
  for (let c = 0; c < 3; c++) {
    const difference = (a.dark[c] + a.bright[c] - b.dark[c] - b.bright[c]) / 2;
    sum += difference * difference;
  }
  return Math.sqrt(sum);
}
