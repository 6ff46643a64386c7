// Shapes of drawn scenes: blobs, polygons and rings in scene coordinates, asked point by point.
import type { Random } from '../random';

export const SHAPE_KINDS = ['blob', 'polygon', 'ring'] as const;
export type ShapeKind = (typeof SHAPE_KINDS)[number];

/**
 * An outline around a centre. A point's local coordinates are turned into the shape's direction, divided by `radius`,
 * and by `stretch` along it and 1 / `stretch` across: there the outline is about the unit circle.
 */
export interface Shape {
  readonly kind: ShapeKind;
  readonly center: readonly [number, number];
  /** Unit vector. */
  readonly direction: readonly [number, number];
  /** In scene units. */
  readonly radius: number;
  readonly stretch: number;
  /** Blob and ring: radius 1 + Σ aₖ·cos kθ + bₖ·sin kθ for k = 2, 3, …, as [aₖ, bₖ]. Polygon: its corners. */
  readonly outline: readonly (readonly [number, number])[];
  /** Ring: radius of the hole, local units. */
  readonly hole: number;
  /** Local radii: all within `inner` is inside (but for the hole), all beyond `outer` is outside. */
  readonly inner: number;
  readonly outer: number;
}

/** A random shape. */
export function randomShape(
  random: Random,
  kind: ShapeKind,
  center: readonly [number, number],
  radius: number,
): Shape {
  const base = { kind, center, radius, direction: random.direction(), stretch: random.between(0.8, 1.25) };
  if (kind === 'polygon') return { ...base, outline: randomPolygon(random), hole: 0, inner: 0, outer: 1.25 };
  const ring = kind === 'ring';
  const wobble = ring ? 0.06 : 0.2;
  // Weaker the finer, so that a blob has lobes rather than spikes.
  const outline = [2, 3, 4, 5].map((k) => {
    const amplitude = (2 * wobble) / k;
    return [random.between(-amplitude, amplitude), random.between(-amplitude, amplitude)] as const;
  });
  const most = outline.reduce((sum, [a, b]) => sum + Math.sqrt(a * a + b * b), 0);
  const hole = ring ? random.between(0.4, 0.6) : 0;
  return { ...base, outline, hole, inner: 1 - most, outer: 1 + most };
}

// Corners at growing angles around the centre: simple, often concave.
function randomPolygon(random: Random): (readonly [number, number])[] {
  const count = random.integer(3, 8);
  const start = random.direction();
  const [stepX, stepY] = ROOTS_OF_UNITY[count - 3];
  let [x, y] = start;
  return Array.from({ length: count }, () => {
    const length = count < 5 ? random.between(0.9, 1.25) : random.between(0.65, 1.25);
    const corner = [x * length, y * length] as const;
    [x, y] = [x * stepX - y * stepY, x * stepY + y * stepX];
    return corner;
  });
}

// cos and sin of 2π / n for n = 3 … 8, written out to be the same in every engine.
const ROOTS_OF_UNITY = [
  [-0.5, 0.8660254037844386],
  [0, 1],
  [0.30901699437494745, 0.9510565162951535],
  [0.5, 0.8660254037844386],
  [0.6234898018587336, 0.7818314824680298],
  [Math.SQRT1_2, Math.SQRT1_2],
] as const;

/** Half the side of a square around the centre that holds the shape, scene units. */
export function shapeReach(shape: Shape): number {
  return shape.radius * Math.max(shape.stretch, 1 / shape.stretch) * shape.outer;
}

/** Whether a point lies inside. */
export function insideShape(shape: Shape, x: number, y: number): boolean {
  const { center, direction, radius, stretch, outline } = shape;
  const dx = (x - center[0]) / radius;
  const dy = (y - center[1]) / radius;
  const u = (dx * direction[0] + dy * direction[1]) / stretch;
  const v = (dy * direction[0] - dx * direction[1]) * stretch;
  const squared = u * u + v * v;
  if (squared > shape.outer * shape.outer) return false;
  if (shape.kind === 'polygon') return insidePolygon(outline, u, v);
  if (squared < shape.hole * shape.hole) return false;
  if (squared < shape.inner * shape.inner) return true;
  // cos kθ and sin kθ by complex multiplication; `inner` keeps rho away from 0.
  const rho = Math.sqrt(squared);
  const c = u / rho;
  const s = v / rho;
  let cosine = c;
  let sine = s;
  let limit = 1;
  for (let k = 0; k < outline.length; k++) {
    const next = cosine * c - sine * s;
    sine = cosine * s + sine * c;
    cosine = next;
    limit += outline[k][0] * cosine + outline[k][1] * sine;
  }
  return rho < limit;
}

// Counts the edges that a ray to the right crosses.
function insidePolygon(corners: Shape['outline'], x: number, y: number): boolean {
  let inside = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
    const a = corners[i];
    const b = corners[j];
    if (a[1] > y !== b[1] > y && x < ((b[0] - a[0]) * (y - a[1])) / (b[1] - a[1]) + a[0]) inside = !inside;
  }
  return inside;
}
