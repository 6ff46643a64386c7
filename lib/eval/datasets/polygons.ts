// Polygons to masks, pixel for pixel as pycocotools draws them.
//
// The outline is walked on a grid five times finer than the pixels, in steps of one along the longer axis of each edge.
// Where it crosses the vertical line through a column's centre, the column changes between inside and outside at the
// pixel nearest to the crossing. Source: rleFrPoly of cocoapi's maskApi.c.
import { fillRuns } from '../../image/rle';

/** Steps per pixel. */
const SCALE = 5;

/**
 * Sets the pixels inside a closed polygon to 1.
 *
 * @param mask `[height, width]`, row-major; other pixels stay as they are
 * @param polygon x0, y0, x1, y1, … in px; points outside the image are fine
 */
export function fillPolygon(
  mask: Uint8Array,
  width: number,
  height: number,
  polygon: readonly number[],
): void {
  fillRuns(mask, width, height, polygonRuns(polygon, width, height));
}

/** Steps that drawing a polygon takes, about five per px of its outline. */
export function outlineSteps(polygon: readonly number[]): number {
  let steps = 0;
  for (let i = 0, n = polygon.length; i < n; i += 2) {
    const dx = Math.abs(polygon[i]! - polygon[(i + 2) % n]!);
    const dy = Math.abs(polygon[i + 1]! - polygon[(i + 3) % n]!);
    steps += SCALE * Math.max(dx, dy) + 1;
  }
  return steps;
}

/** Run lengths down the columns, alternately outside and inside, that begin with outside; some may be 0. */
function polygonRuns(polygon: readonly number[], width: number, height: number): Uint32Array {
  const positions = crossings(polygon, width, height).sort();
  const runs = new Uint32Array(positions.length + 1);
  let last = 0;
  for (let i = 0; i < positions.length; i++) {
    runs[i] = positions[i]! - last;
    last = positions[i]!;
  }
  runs[positions.length] = width * height - last;
  return runs;
}

// Where columns change, as indices down the columns, in the outline's order.
function crossings(polygon: readonly number[], width: number, height: number): Uint32Array {
  const found = new Positions();
  let lastU = Number.NaN;
  let lastV = Number.NaN;
  const visit = (u: number, v: number): void => {
    if (u !== lastU && !Number.isNaN(lastU)) {
      // The border between two columns of the fine grid, in px: whole where it is the centre of a column of pixels.
      const x = ((u < lastU ? u : u - 1) + 0.5) / SCALE - 0.5;
      if (Number.isInteger(x) && x >= 0 && x <= width - 1) {
        const y = (Math.min(v, lastV) + 0.5) / SCALE - 0.5;
        found.push(x * height + Math.ceil(Math.min(Math.max(y, 0), height)));
      }
    }
    lastU = u;
    lastV = v;
  };
  for (let i = 0, n = polygon.length; i < n; i += 2) {
    walkEdge(
      onFineGrid(polygon[i]!),
      onFineGrid(polygon[i + 1]!),
      onFineGrid(polygon[(i + 2) % n]!),
      onFineGrid(polygon[(i + 3) % n]!),
      visit,
    );
  }
  return found.finish();
}

// Math.trunc because C's conversion to int cuts towards zero, also below zero.
function onFineGrid(value: number): number {
  return Math.trunc(SCALE * value + 0.5);
}

// Visits the points of an edge from its start to its end, both included. Rounding depends on the end that the slope
// is measured from, which is the lower one on the longer axis, so that an edge looks the same from both sides.
function walkEdge(
  x0: number,
  y0: number,
  x1: number,
  y1: number,
  visit: (u: number, v: number) => void,
): void {
  const dx = Math.abs(x1 - x0);
  const dy = Math.abs(y1 - y0);
  // A point that is given twice adds nothing.
  if (dx === 0 && dy === 0) return;
  if (dx >= dy) {
    const flip = x0 > x1;
    const [x, y, slope] = flip ? [x1, y1, (y0 - y1) / dx] : [x0, y0, (y1 - y0) / dx];
    for (let d = 0; d <= dx; d++) {
      const t = flip ? dx - d : d;
      visit(x + t, Math.trunc(y + slope * t + 0.5));
    }
  } else {
    const flip = y0 > y1;
    const [x, y, slope] = flip ? [x1, y1, (x0 - x1) / dy] : [x0, y0, (x1 - x0) / dy];
    for (let d = 0; d <= dy; d++) {
      const t = flip ? dy - d : d;
      visit(Math.trunc(x + slope * t + 0.5), y + t);
    }
  }
}

class Positions {
  private values = new Uint32Array(256);
  private length = 0;

  push(value: number): void {
    if (this.length === this.values.length) {
      const grown = new Uint32Array(2 * this.length);
      grown.set(this.values);
      this.values = grown;
    }
    this.values[this.length++] = value;
  }

  finish(): Uint32Array {
    return this.values.subarray(0, this.length);
  }
}
