// The borders of a mask's regions and holes, pixel by pixel.

/**
 * All borders of the 8-connected regions of a mask and of the 4-connected holes in them, in the order of OpenCV's
 * `findContours` with `RETR_TREE` and `CHAIN_APPROX_NONE`: a border comes before those it encloses, and of neighbours
 * the one that a raster scan meets last comes first.
 *
 * Source: Suzuki and Abe 1985, "Topological structural analysis of digitized binary images by border following",
 * algorithm 1.
 *
 * @param mask `[height, width]`, 0 or 1
 * @returns indices into the mask. A pixel appears as often as the border passes through it; outer borders run
 *   counter-clockwise from their first pixel in raster order
 */
export function findContours(mask: Uint8Array, width: number, height: number): Int32Array[] {
  const tracer = new BorderTracer(mask, width, height);
  const borders: Border[] = [{ hole: true, parent: -1, children: [], pixels: new Int32Array(0) }];
  for (let y = 1; y <= height; y++) {
    let last = 0; // the border that the scan met last on this row; 0 is the image's frame
    for (let x = 1, i = y * tracer.stride + 1; x <= width; x++, i++) {
      const { labels } = tracer;
      const value = labels[i]!;
      const before = labels[i - 1]!;
      const outer = before === 0 && value === UNVISITED;
      // A pixel whose label is negative has been passed with the outside to its right.
      const hole = value === 0 && before > 0;
      if (hole && before !== UNVISITED) last = before - FIRST_LABEL + 1;
      if (outer || hole) {
        const neighbour = borders[last]!;
        const parent = neighbour.hole === hole ? neighbour.parent : last;
        const index = borders.length;
        const pixels = tracer.follow(hole ? i - 1 : i, hole, index - 1 + FIRST_LABEL);
        borders.push({ hole, parent, children: [], pixels });
        borders[parent]!.children.push(index);
        last = index;
      } else if (value !== 0 && value !== UNVISITED) last = Math.abs(value) - FIRST_LABEL + 1;
    }
  }

  const ordered: Int32Array[] = [];
  const pending = borders[0]!.children;
  for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
    const { pixels, children } = borders[index]!;
    ordered.push(pixels);
    for (const child of children) pending.push(child);
  }
  return ordered;
}

interface Border {
  readonly hole: boolean;
  readonly parent: number;
  readonly children: number[];
  readonly pixels: Int32Array;
}

const UNVISITED = 1;
const FIRST_LABEL = 2;

class BorderTracer {
  /** The mask in a frame of zeros; pixels that borders passed through hold a border's label, perhaps negative. */
  readonly labels: Int32Array;
  readonly stride: number;
  private readonly steps: readonly number[];

  constructor(
    mask: Uint8Array,
    private readonly width: number,
    height: number,
  ) {
    this.stride = width + 2;
    this.labels = new Int32Array(this.stride * (height + 2));
    for (let y = 0; y < height; y++) {
      this.labels.set(mask.subarray(y * width, (y + 1) * width), (y + 1) * this.stride + 1);
    }
    // Counter-clockwise from the right.
    const up = -this.stride;
    const down = this.stride;
    this.steps = [1, up + 1, up, up - 1, -1, down - 1, down, down + 1];
  }

  /** Marks a border from its first pixel on with `label` and returns its pixels. */
  follow(start: number, hole: boolean, label: number): Int32Array {
    const { labels, steps } = this;
    // Clockwise from the pixel outside by which the scan came, for the pixel that the border will come back from.
    const from = hole ? 0 : 4;
    let direction = from;
    do direction = (direction + 7) % 8;
    while (labels[start + steps[direction]!] === 0 && direction !== from);
    if (direction === from) {
      labels[start] = -label;
      return Int32Array.of(this.index(start));
    }

    const end = start + steps[direction]!;
    const pixels: number[] = [];
    for (let at = start; ; ) {
      const origin = direction;
      do direction = (direction + 1) % 8;
      while (labels[at + steps[direction]!] === 0);
      // Turning past the right neighbour means that it is outside.
      if (turned(origin, direction)) labels[at] = -label;
      else if (labels[at] === UNVISITED) labels[at] = label;
      pixels.push(this.index(at));
      const next = at + steps[direction]!;
      if (next === start && at === end) break;
      at = next;
      direction = (direction + 4) % 8;
    }
    return Int32Array.from(pixels);
  }

  private index(padded: number): number {
    const row = Math.floor(padded / this.stride);
    return (row - 1) * this.width + (padded - row * this.stride) - 1;
  }
}

// Whether a turn counter-clockwise from just after `origin` to `direction` goes over direction 0 without ending there.
function turned(origin: number, direction: number): boolean {
  return direction !== 0 && direction <= origin;
}
