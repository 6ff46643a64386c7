// Thinning of a mask to lines one pixel wide.

/**
 * The skeleton that `skimage.morphology.skeletonize` gives of a 2-D mask: Zhang and Suen 1984, "A fast parallel
 * algorithm for thinning digital patterns", with skimage's deviations from the paper.
 *
 * Two kinds of rounds alternate until neither removes anything. A round looks at the mask as the one before left it and
 * removes all pixels that its kind removes. A pixel that a round kept can fall to the next of that kind only if a
 * neighbour went since, so only neighbours of removed pixels are looked at again: the time depends on the area, not
 * on the width of what is thinned.
 *
 * @param mask `[height, width]`, 0 or 1
 * @returns the same, at most as many ones
 */
export function skeletonize(mask: Uint8Array, width: number, height: number): Uint8Array {
  // A frame of pixels outside makes all neighbourhoods alike.
  const stride = width + 2;
  const padded = new Uint8Array(stride * (height + 2));
  for (let y = 0; y < height; y++) {
    padded.set(mask.subarray(y * width, (y + 1) * width), (y + 1) * stride + 1);
  }
  const neighbours = Int32Array.from(NEIGHBOURS, ([dx, dy]) => dy * stride + dx);

  const inside: number[] = [];
  for (let i = 0; i < padded.length; i++) if (padded[i] === 1) inside.push(i);
  const seen = new Int32Array(padded.length); // the round that a pixel was last looked at
  let before = inside; // where to look because of the round before the last
  let candidates = inside;
  for (let round = 0; before.length > 0 || candidates.length > 0; round++) {
    const kind = round % 2 === 0 ? FIRST : SECOND;
    const removed: number[] = [];
    for (const list of candidates === before ? [candidates] : [before, candidates]) {
      for (const i of list) {
        if (padded[i] === 0 || seen[i] === round + 1) continue;
        seen[i] = round + 1;
        let code = 0;
        for (let k = 0; k < 8; k++) code |= padded[i + neighbours[k]!]! << k;
        if ((REMOVED_IN[code]! & kind) !== 0) removed.push(i);
      }
    }
    for (const i of removed) padded[i] = 0;
    before = round === 0 ? inside : candidates;
    candidates = [];
    for (const i of removed) {
      for (const offset of neighbours) if (padded[i + offset] === 1) candidates.push(i + offset);
    }
  }

  const skeleton = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const row = (y + 1) * stride + 1;
    skeleton.set(padded.subarray(row, row + width), y * width);
  }
  return skeleton;
}

/** Clockwise from the upper left; bit k of a neighbourhood's code is neighbour k. */
const NEIGHBOURS = [
  [-1, -1],
  [0, -1],
  [1, -1],
  [1, 0],
  [1, 1],
  [0, 1],
  [-1, 1],
  [-1, 0],
] as const;

const FIRST = 1;
const SECOND = 2;
const BOTH = FIRST | SECOND;

// Neighbourhoods that skimage's table treats otherwise than the paper: corners of staircases go in both rounds, ends
// of short diagonals in one or none. Rows: what happens, codes.
const DEVIATIONS: readonly (readonly [rounds: number, codes: readonly number[]])[] = [
  [0, [48, 129]],
  [FIRST, [3, 6, 11, 12, 14, 131, 134, 161, 194, 198]],
  [SECOND, [24, 26, 56, 96, 104, 108, 176, 192, 224]],
  [BOTH, [10, 40, 130, 160]],
];

// Rounds that remove a pixel, by the code of its neighbourhood.
const REMOVED_IN = removalTable();

function removalTable(): Uint8Array {
  const table = Uint8Array.from({ length: 256 }, (_, code) => zhangSuen(code));
  for (const [rounds, codes] of DEVIATIONS) for (const code of codes) table[code] = rounds;
  return table;
}

// Zhang and Suen's conditions: between 2 and 6 neighbours, in one connected run around the pixel, and a gap on the
// sides that the round works from.
function zhangSuen(code: number): number {
  const at = (k: number): number => (code >> k) & 1;
  let count = 0;
  let runs = 0;
  for (let k = 0; k < 8; k++) {
    count += at(k);
    if (at(k) === 0 && at((k + 1) % 8) === 1) runs++;
  }
  if (count < 2 || count > 6 || runs !== 1) return 0;
  const [north, east, south, west] = [at(1), at(3), at(5), at(7)];
  return (
    ((north & east & south) === 0 && (east & south & west) === 0 ? FIRST : 0) |
    ((north & east & west) === 0 && (north & south & west) === 0 ? SECOND : 0)
  );
}
