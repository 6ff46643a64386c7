// Draws a scene at any size: anti-aliased colours, and the targets' masks from the same coverage.
import { invalidArgument } from '../../../lib/errors';
import type { BinaryMask } from '../../../lib/eval/types';
import type { RgbImage } from '../../../lib/image/types';
import { insideShape, shapeReach } from './shape';
import { FINEST_CELL, type Texture, textureAt, valueNoise } from './texture';
import type { Scene, SceneObject, Shading } from './types';

/** Points per pixel and axis on edges; with 4, a pixel asks where four times the size has its pixels' middles. */
const SAMPLES = 4;
const MAX_SIDE_PX = 8192;
/** Of {@link topmost}, where no object is. */
export const GROUND = 255;

/** A scene in pixels. */
export interface Drawing {
  readonly image: RgbImage;
  /** Visible part of each target, in the order of `scene.targets`: pixels that it covers by more than half. */
  readonly masks: readonly BinaryMask[];
}

/**
 * Draws a scene.
 *
 * @param side_px width and height, 16 … 8192
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function drawScene(scene: Scene, side_px: number): Drawing {
  if (!Number.isInteger(side_px) || side_px < 16 || side_px > MAX_SIDE_PX) {
    throw invalidArgument('side_px', `integer between 16 and ${MAX_SIDE_PX}`, side_px);
  }
  const { objects, targets } = scene;
  const edges = new Uint8Array(side_px * side_px);
  const top = topmost(objects, side_px, edges);
  const image = { data: new Uint8Array(3 * side_px * side_px), width: side_px, height: side_px };
  const masks = targets.map(() => ({
    data: new Uint8Array(side_px * side_px),
    width: side_px,
    height: side_px,
  }));
  const maskOf: (Uint8Array | undefined)[] = new Array(GROUND + 1).fill(undefined);
  for (const [i, object] of targets.entries()) maskOf[object] = masks[i].data;
  const paint = new Painter(scene);
  const coverage = new Uint8Array(GROUND + 1);
  for (let row = 0, p = 0; row < side_px; row++) {
    for (let column = 0; column < side_px; column++, p++) {
      const x = (column + 0.5) / side_px;
      const y = (row + 0.5) / side_px;
      paint.begin(x, y);
      if (edges[p] === 0) {
        paint.add(top[p], 1);
        const mask = maskOf[top[p]];
        if (mask) mask[p] = 1;
      } else {
        for (const object of countSamples(objects, column, row, side_px, coverage)) {
          paint.add(object, coverage[object] / SAMPLES ** 2);
          const mask = maskOf[object];
          if (mask && 2 * coverage[object] > SAMPLES ** 2) mask[p] = 1;
        }
      }
      paint.end(image.data, 3 * p);
    }
  }
  return { image, masks };
}

/**
 * The object seen at the middle of every pixel, or {@link GROUND}: [side, side].
 *
 * @param edges becomes 1 where an outline passes within a pixel
 */
export function topmost(objects: readonly SceneObject[], side_px: number, edges?: Uint8Array): Uint8Array {
  const top = new Uint8Array(side_px * side_px).fill(GROUND);
  for (const [index, { shape }] of objects.entries()) {
    const reach = shapeReach(shape);
    const [cx, cy] = shape.center;
    // One pixel more on each side, which lies outside, so that an outline is always a change; no more than one
    // pixel beyond the scene.
    const x0 = Math.max(-1, Math.floor((cx - reach) * side_px) - 1);
    const x1 = Math.min(side_px, Math.ceil((cx + reach) * side_px) + 1);
    const y0 = Math.max(-1, Math.floor((cy - reach) * side_px) - 1);
    const y1 = Math.min(side_px, Math.ceil((cy + reach) * side_px) + 1);
    let above = new Uint8Array(side_px + 2);
    let current = new Uint8Array(side_px + 2);
    for (let y = y0; y <= y1; y++) {
      for (let x = x0; x <= x1; x++) {
        const inside = insideShape(shape, (x + 0.5) / side_px, (y + 0.5) / side_px) ? 1 : 0;
        current[x + 1] = inside;
        if (inside === 1 && isInScene(x, y, side_px)) top[y * side_px + x] = index;
        if (!edges || x === x0 || y === y0) continue;
        // Among the four pixels that meet in a corner, an outline passes when they do not agree.
        const sum = inside + current[x] + above[x + 1] + above[x];
        if (sum !== 0 && sum !== 4) markCorner(edges, x, y, side_px);
      }
      const swap = above;
      above = current;
      current = swap;
    }
  }
  return top;
}

// The four pixels that meet in the upper left corner of (x, y).
function markCorner(edges: Uint8Array, x: number, y: number, side_px: number): void {
  for (let py = y - 1; py <= y; py++) {
    for (let px = x - 1; px <= x; px++) {
      if (isInScene(px, py, side_px)) edges[py * side_px + px] = 1;
    }
  }
}

function isInScene(x: number, y: number, side_px: number): boolean {
  return x >= 0 && x < side_px && y >= 0 && y < side_px;
}

/** Counts at how many of a pixel's points each object (or the ground) is seen; returns those with any. */
function countSamples(
  objects: readonly SceneObject[],
  column: number,
  row: number,
  side_px: number,
  counts: Uint8Array,
): number[] {
  const middleX = (column + 0.5) / side_px;
  const middleY = (row + 0.5) / side_px;
  // From front to back.
  const near: number[] = [];
  for (let index = objects.length - 1; index >= 0; index--) {
    const { shape } = objects[index];
    const reach = shapeReach(shape) + 1 / side_px;
    if (Math.abs(middleX - shape.center[0]) <= reach && Math.abs(middleY - shape.center[1]) <= reach) {
      near.push(index);
    }
  }
  counts.fill(0);
  const seen: number[] = [];
  for (let i = 0; i < SAMPLES; i++) {
    for (let j = 0; j < SAMPLES; j++) {
      const x = (column + (j + 0.5) / SAMPLES) / side_px;
      const y = (row + (i + 0.5) / SAMPLES) / side_px;
      const object = near.find((index) => insideShape(objects[index].shape, x, y)) ?? GROUND;
      if (counts[object]++ === 0) seen.push(object);
    }
  }
  return seen;
}

/** Mixes the colour of one pixel out of what is seen in it. */
class Painter {
  private readonly color = new Float64Array(3);
  private x = 0;
  private y = 0;

  constructor(private readonly scene: Scene) {}

  begin(x: number, y: number): void {
    this.x = x;
    this.y = y;
    this.color.fill(0);
  }

  /** Adds what an object, or the ground, looks like here, with a weight. */
  add(object: number, weight: number): void {
    const { x, y, scene } = this;
    if (object === GROUND) {
      this.addTexture(scene.ground, weight);
      return;
    }
    const { shape, texture, shading } = scene.objects[object];
    const [cx, cy] = shape.center;
    this.addTexture(texture, weight * shade(shading, (x - cx) / shape.radius, (y - cy) / shape.radius));
  }

  /** Light and noise on top; writes three bytes. */
  end(out: Uint8Array, at: number): void {
    const { x, y, scene } = this;
    const light = shade(scene.shading, 2 * x - 1, 2 * y - 1);
    const noise =
      scene.noise.amplitude * (2 * valueNoise(x / FINEST_CELL, y / FINEST_CELL, scene.noise.seed) - 1);
    for (let c = 0; c < 3; c++) {
      out[at + c] = Math.min(255, Math.max(0, Math.round(this.color[c] * light + noise)));
    }
  }

  private addTexture(texture: Texture, weight: number): void {
    const bright = textureAt(texture, this.x, this.y);
    for (let c = 0; c < 3; c++) {
      this.color[c] += weight * (texture.dark[c] + bright * (texture.bright[c] - texture.dark[c]));
    }
  }
}

function shade({ direction, strength }: Shading, x: number, y: number): number {
  return 1 + strength * (x * direction[0] + y * direction[1]);
}
