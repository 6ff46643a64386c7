// Erosion and dilation of masks as OpenCV does them, in time that does not grow with the radius where it matters.

/** A mask by itself: `[height, width]`, 0 or 1. */
export interface Plane {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/**
 * Erosion by the square of side 2 · radius + 1, pixels beyond the image being outside the mask: what remains is farther
 * than `radius` from every pixel outside, along rows, columns and diagonals.
 */
export function erodeSquare({ data, width, height }: Plane, radius: number): Uint8Array {
  const side = 2 * radius + 1;
  const eroded = new Uint8Array(width * height);
  const across = new Uint8Array(width);
  const runs = new Uint32Array(width); // rows up to this one whose windows are all inside, by column
  for (let y = 0; y < height; y++) {
    across.fill(0);
    let run = 0;
    for (let x = 0, i = y * width; x < width; x++, i++) {
      run = data[i] === 1 ? run + 1 : 0;
      if (run >= side) across[x - radius] = 1;
    }
    for (let x = 0; x < width; x++) {
      runs[x] = across[x] === 1 ? runs[x]! + 1 : 0;
      if (runs[x]! >= side) eroded[(y - radius) * width + x] = 1;
    }
  }
  return eroded;
}

/**
 * Erosion by the 3 x 3 cross, `times` times. Pixels beyond the image do not erode: what remains is farther than `times`
 * steps along rows and columns from every pixel of the image that is outside the mask.
 */
export function erodeCross({ data, width, height }: Plane, times: number): Uint8Array {
  const far = times + 1; // steps beyond this need not be told apart
  const steps = new Uint32Array(width * height);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (data[i] === 0) continue;
      const above = y > 0 ? steps[i - width]! : far;
      const left = x > 0 ? steps[i - 1]! : far;
      steps[i] = Math.min(above, left, times) + 1;
    }
  }
  for (let y = height - 1, i = width * height - 1; y >= 0; y--) {
    for (let x = width - 1; x >= 0; x--, i--) {
      const below = y < height - 1 ? steps[i + width]! : far;
      const right = x < width - 1 ? steps[i + 1]! : far;
      steps[i] = Math.min(steps[i]!, below + 1, right + 1);
    }
  }
  const eroded = new Uint8Array(steps.length);
  for (let i = 0; i < steps.length; i++) eroded[i] = steps[i] === far ? 1 : 0;
  return eroded;
}

/** Dilation by the 3 x 3 cross, `times` times, never into pixels that `allowed` says 0 of. */
export function dilateCross({ data, width, height }: Plane, times: number, allowed?: Uint8Array): Uint8Array {
  const dilated = data.slice();
  if (times === 0) return dilated;
  // The first round looks at all pixels, the others at the neighbours of those that the one before added.
  let added: number[] = [];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (data[i] === 1 || allowed?.[i] === 0) continue;
      if (
        (x > 0 && data[i - 1] === 1) ||
        (x < width - 1 && data[i + 1] === 1) ||
        (y > 0 && data[i - width] === 1) ||
        (y < height - 1 && data[i + width] === 1)
      ) {
        dilated[i] = 1;
        added.push(i);
      }
    }
  }
  for (let round = 1; round < times && added.length > 0; round++) {
    const next: number[] = [];
    const reach = (i: number): void => {
      if (dilated[i] === 1 || allowed?.[i] === 0) return;
      dilated[i] = 1;
      next.push(i);
    };
    for (const i of added) {
      const x = i % width;
      if (x > 0) reach(i - 1);
      if (x < width - 1) reach(i + 1);
      if (i >= width) reach(i - width);
      if (i < width * (height - 1)) reach(i + width);
    }
    added = next;
  }
  return dilated;
}
