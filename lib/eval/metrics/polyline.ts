// How many points a line of pixels needs when it may be off by a little.

/**
 * What a point's distance from a stretch of the curve is measured to: the line through the stretch's ends, as OpenCV
 * did until 4.12, or the segment between them, as it does since 4.13.
 */
export type DistanceTo = 'line' | 'segment';

/**
 * The number of points that OpenCV's `approxPolyDP` leaves of an open curve: Douglas and Peucker's choice, and a last
 * pass that drops points between which the curve is nearly straight.
 *
 * Source: Douglas and Peucker 1973; OpenCV's approx.cpp.
 *
 * @param curve indices into an image of `width` columns, at least one, none twice
 * @param epsilon how far the curve may be from the points that are left, in px
 */
export function countControlPoints(
  curve: ArrayLike<number>,
  width: number,
  epsilon: number,
  distanceTo: DistanceTo,
): number {
  const xs = Float64Array.from(curve, (index) => index % width);
  const ys = Float64Array.from(curve, (index) => Math.floor(index / width));
  if (xs.length <= 2) return xs.length;
  return countBends(selectPoints(xs, ys, epsilon * epsilon, distanceTo), xs, ys, epsilon * epsilon);
}

// Douglas and Peucker's points, by position on the curve.
function selectPoints(
  xs: Float64Array,
  ys: Float64Array,
  tolerance: number,
  distanceTo: DistanceTo,
): number[] {
  const selected: number[] = [];
  const segments: [first: number, last: number][] = [[0, xs.length - 1]];
  for (let segment = segments.pop(); segment !== undefined; segment = segments.pop()) {
    const [first, last] = segment;
    const [x0, y0, x1, y1] = [xs[first]!, ys[first]!, xs[last]!, ys[last]!];
    const dx = x1 - x0;
    const dy = y1 - y0;
    const length = dx * dx + dy * dy; // squared, as are the distances, which are multiplied by it
    let farthest = first;
    let largest = 0;
    for (let i = first + 1; i < last; i++) {
      const [x, y] = [xs[i]!, ys[i]!];
      const along = distanceTo === 'line' ? 0 : (x - x0) * dx + (y - y0) * dy;
      let distance: number;
      if (along < 0) distance = ((x - x0) ** 2 + (y - y0) ** 2) * length;
      else if (along > length) distance = ((x - x1) ** 2 + (y - y1) ** 2) * length;
      else distance = ((y - y0) * dx - (x - x0) * dy) ** 2;
      if (distance > largest) {
        largest = distance;
        farthest = i;
      }
    }
    if (largest <= tolerance * length) selected.push(first);
    else segments.push([farthest, last], [first, farthest]);
  }
  selected.push(xs.length - 1);
  return selected;
}

// The points that are left when those on nearly straight stretches go. After one went, the one behind it stays.
function countBends(
  points: readonly number[],
  xs: Float64Array,
  ys: Float64Array,
  tolerance: number,
): number {
  let count = points.length;
  let start = points[0]!;
  let middle = points[1]!;
  for (let i = 1; i < points.length - 1 && count > 2; i++) {
    const end = points[i + 1]!;
    const dx = xs[end]! - xs[start]!;
    const dy = ys[end]! - ys[start]!;
    const [mx, my] = [xs[middle]! - xs[start]!, ys[middle]! - ys[start]!];
    const distance = mx * dy - my * dx;
    const forward = mx * (xs[end]! - xs[middle]!) + my * (ys[end]! - ys[middle]!) >= 0;
    // Stretches along rows and columns keep their points: the reference asks for both differences.
    if (dx !== 0 && dy !== 0 && forward && distance * distance <= 0.5 * tolerance * (dx * dx + dy * dy)) {
      count--;
      start = end;
      i++;
      middle = points[i + 1] ?? points[0]!;
    } else {
      start = middle;
      middle = end;
    }
  }
  return count;
}
