// COCO's run-length encoding of masks, byte for byte as pycocotools writes it, and a mask's area and bounding box.
//
// Runs go down the columns and alternate 0, 1, 0, …, starting with 0. From the fourth on, a run is stored as the
// difference to the one before the last; each number is cut into groups of 5 bits, lowest first, bit 5 meaning
// "more follows", plus 48. Source: rleEncode, rleToString, rleFrString and rleToBbox of cocoapi's maskApi.c.
import { invalidArgument, SamError } from '../errors';
import { isTypedArray } from '../options/validate';
import { TimeSlice } from '../time-slice';
import { rowsPerBand } from './bands';

/** A run-length encoded mask as in COCO's JSON files. */
export interface Rle {
  /** [height, width] in px. */
  size: [number, number];
  counts: string;
}

// Sums of runs must stay below 2^31: bit operations are 32 bits wide.
const MAX_PIXELS = 2 ** 31 - 1;

/**
 * Encodes a mask. One of 12 megapixels takes some 30 ms, of noise half a second: {@link encodeRleAsync} lets other events run.
 *
 * @param mask `[height, width]`, row-major; any value but 0 is inside
 * @throws SamError `ERR_INVALID_ARGUMENT` when the sizes do not fit
 */
export function encodeRle(mask: Uint8Array, width: number, height: number): Rle {
  const steps = encodeSteps(mask, width, height);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/**
 * The same in pieces of a few milliseconds, between which other events run; the mask must not change meanwhile.
 *
 * @throws SamError as {@link encodeRle}, and when the mask was transferred meanwhile
 */
export async function encodeRleAsync(mask: Uint8Array, width: number, height: number): Promise<Rle> {
  const steps = encodeSteps(mask, width, height);
  const slice = new TimeSlice();
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    if (!slice.due()) continue;
    await slice.next();
    checkMask(mask, width, height);
  }
}

// Pauses after at most some hundred thousand pixels.
function* encodeSteps(mask: Uint8Array, width: number, height: number): Generator<void, Rle, void> {
  checkMask(mask, width, height);
  const { offsets, rows } = yield* verticalChanges(mask, width, height);
  const writer = new CountsWriter();
  let inside = false;
  let last = 0; // column-major index at which the current run began
  const turn = (index: number): void => {
    writer.push(index - last);
    last = index;
    inside = !inside;
  };
  for (let x = 0; x < width; x++) {
    // The pixel above a column's first is the last one of the column to the left.
    if ((mask[x] !== 0) !== inside) turn(x * height);
    for (let i = offsets[x]!; i < offsets[x + 1]!; i++) turn(x * height + rows[i]!);
    yield;
  }
  writer.push(width * height - last);
  return { size: [height, width], counts: writer.finish() };
}

// Where a column changes from one row to the next: rows[offsets[x] … offsets[x + 1]) in column x, ascending. The mask is
// read in its own order: walking down columns would miss the cache at every pixel.
function* verticalChanges(
  mask: Uint8Array,
  width: number,
  height: number,
): Generator<void, { offsets: Uint32Array; rows: Uint32Array }, void> {
  const offsets = new Uint32Array(width + 1);
  yield* eachChange(mask, width, height, (x) => {
    offsets[x + 1]!++;
  });
  for (let x = 0; x < width; x++) offsets[x + 1]! += offsets[x]!;
  // Filled with zeros in pieces: of noise, 24 MB at once would stall the event loop for 10 ms.
  const rows = new Uint32Array(Buffer.allocUnsafeSlow(4 * offsets[width]!).buffer);
  for (let at = 0; at < rows.length; at += 2 ** 18) {
    rows.fill(0, at, at + 2 ** 18);
    yield;
  }
  const next = offsets.slice(0, width);
  yield* eachChange(mask, width, height, (x, y) => {
    rows[next[x]!++] = y;
  });
  return { offsets, rows };
}

function* eachChange(
  mask: Uint8Array,
  width: number,
  height: number,
  visit: (x: number, y: number) => void,
): Generator<void, void, void> {
  // Four pixels at a time where rows are aligned: almost everywhere nothing changes.
  const words = width % 4 === 0 ? asWords(mask) : undefined;
  const stride = width / 4;
  const band = rowsPerBand(width);
  for (let y = 1; y < height; y++) {
    const row = y * width;
    if (y % band === 0) yield;
    if (words === undefined) {
      for (let x = 0; x < width; x++) {
        if ((mask[row + x] !== 0) !== (mask[row + x - width] !== 0)) visit(x, y);
      }
      continue;
    }
    for (let w = y * stride, end = w + stride; w < end; w++) {
      if (words[w] === words[w - stride]) continue;
      for (let i = 4 * w; i < 4 * w + 4; i++) {
        if ((mask[i] !== 0) !== (mask[i - width] !== 0)) visit(i - row, y);
      }
    }
  }
}

const PIECE_BYTES = 2 ** 16;

class CountsWriter {
  // Pieces: a buffer that grows would be copied as a whole, which takes longer than a time slice.
  private readonly bytes = Buffer.allocUnsafe(PIECE_BYTES);
  private text = '';
  private length = 0;
  private count = 0;
  private beforeLast = 0;
  private last = 0;

  push(run: number): void {
    let x = this.count > 2 ? run - this.beforeLast : run;
    this.count++;
    this.beforeLast = this.last;
    this.last = run;
    if (this.length + 7 > PIECE_BYTES) this.flush();
    for (let more = true; more; ) {
      const group = x & 0x1f;
      x >>= 5;
      more = (group & 0x10) !== 0 ? x !== -1 : x !== 0;
      this.bytes[this.length++] = (more ? group | 0x20 : group) + 48;
    }
  }

  finish(): string {
    this.flush();
    return this.text;
  }

  private flush(): void {
    this.text += this.bytes.toString('latin1', 0, this.length);
    this.length = 0;
  }
}

/**
 * Decodes a mask that {@link encodeRle} or pycocotools wrote.
 *
 * @returns `[height, width]`, row-major, 0 or 1
 * @throws SamError `ERR_INVALID_ARGUMENT` when characters, runs or sizes are wrong: nothing is repaired
 */
export function decodeRle(rle: Rle): Uint8Array {
  const { mask, steps } = decodeSteps(rle);
  while (!steps.next().done);
  return mask;
}

/**
 * The same in pieces of a few milliseconds, between which other events run.
 *
 * @throws SamError as {@link decodeRle}
 */
export async function decodeRleAsync(rle: Rle): Promise<Uint8Array> {
  const { mask, steps } = decodeSteps(rle);
  const slice = new TimeSlice();
  while (!steps.next().done) if (slice.due()) await slice.next();
  return mask;
}

function decodeSteps(rle: Rle): { mask: Uint8Array; steps: Generator<void, void, void> } {
  if (typeof rle !== 'object' || rle === null) throw invalidArgument('rle', 'object {size, counts}', rle);
  const { size, counts } = rle;
  if (!Array.isArray(size) || size.length !== 2) throw invalidArgument('rle.size', '[height, width]', size);
  const [height, width] = size;
  checkSize(width, height);
  if (typeof counts !== 'string') throw invalidArgument('rle.counts', 'string', counts);

  const mask = new Uint8Array(width * height);
  return { mask, steps: fillSteps(mask, width, height, runReader(counts, width * height)) };
}

/**
 * Sets the pixels of every second run to 1, beginning with the second; runs go down the columns.
 *
 * @param mask `[height, width]`, row-major; other pixels stay as they are
 * @param runs lengths whose sum is at most `width · height`
 */
export function fillRuns(mask: Uint8Array, width: number, height: number, runs: ArrayLike<number>): void {
  let r = 0;
  const steps = fillSteps(mask, width, height, () => (r < runs.length ? runs[r++]! : undefined));
  while (!steps.next().done);
}

/** What a piece of {@link fillSteps} takes, in pixels; a run counts as some. */
const STEP_PIXELS = 65_536;
const RUN_PIXELS = 8;

function* fillSteps(
  mask: Uint8Array,
  width: number,
  height: number,
  nextRun: () => number | undefined,
): Generator<void, void, void> {
  let x = 0;
  let y = 0;
  let work = 0;
  let inside = false;
  for (let run = nextRun(); run !== undefined; run = nextRun()) {
    work += RUN_PIXELS;
    for (let left = run; left > 0; ) {
      const n = Math.min(left, height - y);
      if (inside) {
        for (let i = y; i < y + n; i++) mask[i * width + x] = 1;
        work += n;
      }
      left -= n;
      y += n;
      if (y === height) {
        y = 0;
        x++;
      }
      if (work > STEP_PIXELS) {
        work = 0;
        yield;
      }
    }
    inside = !inside;
  }
}

/**
 * The run lengths behind {@link Rle.counts}.
 *
 * @param total pixels of the mask
 * @throws SamError `ERR_INVALID_ARGUMENT` when a character is wrong or the sum of the runs is not `total`
 */
export function parseCounts(counts: string, total: number): number[] {
  const next = runReader(counts, total);
  const runs: number[] = [];
  for (let run = next(); run !== undefined; run = next()) runs.push(run);
  return runs;
}

/** Gives the run lengths one by one, then undefined. The sum of those that it gave is never above `total`. */
function runReader(counts: string, total: number): () => number | undefined {
  const fail = (reason: string): never => {
    throw new SamError('ERR_INVALID_ARGUMENT', `Expected run lengths for rle.counts but ${reason}`);
  };
  let p = 0;
  let count = 0;
  let sum = 0;
  let beforeLast = 0;
  let last = 0;
  const read = (): number => {
    const start = p;
    let x = 0;
    let shift = 0;
    for (let more = true; more; shift += 5) {
      if (p === counts.length) fail('the last number is cut off');
      const group = counts.charCodeAt(p++) - 48;
      if (group < 0 || group > 63) {
        fail(`received ${describeCharacter(counts, p - 1)} at position ${p - 1}`);
      }
      // 7 groups hold 35 bits; numbers beyond 32 would wrap around silently.
      if (shift > 30) fail(`the number at position ${start} is too large`);
      x += (group & 0x1f) * 2 ** shift;
      more = (group & 0x20) !== 0;
      if (!more && (group & 0x10) !== 0) x -= 2 ** (shift + 5);
    }
    const run = count > 2 ? x + beforeLast : x;
    if (run < 0 || run > total) fail(`the run at position ${start} is ${run} of ${total} pixels`);
    count++;
    beforeLast = last;
    last = run;
    sum += run;
    return run;
  };
  return () => {
    const run = p < counts.length ? read() : undefined;
    // What is too much is not given out: each run may be as long as the mask.
    if (sum > total) while (p < counts.length) read();
    if (run === undefined || sum > total) {
      if (sum !== total) fail(`their sum is ${sum} instead of height · width = ${total}`);
    }
    return run;
  };
}

function describeCharacter(text: string, index: number): string {
  return JSON.stringify(String.fromCodePoint(text.codePointAt(index)!));
}

/**
 * Pixels inside a mask.
 *
 * @param mask any value but 0 is inside
 */
export function maskArea(mask: Uint8Array): number {
  if (!isTypedArray(mask, 'Uint8Array')) throw invalidArgument('mask', 'Uint8Array', mask);
  const words = asWords(mask) ?? new Uint32Array(0);
  let area = 0;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === 0) continue;
    if (word === 0x01010101) area += 4;
    else {
      area +=
        +((word & 0xff) !== 0) + +((word & 0xff00) !== 0) + +((word & 0xff0000) !== 0) + +(word >>> 24 !== 0);
    }
  }
  for (let i = words.length * 4; i < mask.length; i++) if (mask[i] !== 0) area++;
  return area;
}

/**
 * A mask's bounding box `[x, y, width, height]` in px as of pycocotools' `toBbox`; `[0, 0, 0, 0]` when it is empty.
 *
 * @param mask `[height, width]`, row-major; any value but 0 is inside
 */
export function maskBox(mask: Uint8Array, width: number, height: number): [number, number, number, number] {
  checkMask(mask, width, height);
  let [left, right, top, bottom] = [width, -1, -1, -1];
  for (let y = 0; y < height; y++) {
    const row = y * width;
    // Inside the columns known so far, a row matters only as evidence that it is not empty.
    let x = 0;
    while (x < width && mask[row + x] === 0) x++;
    if (x === width) continue;
    if (top < 0) top = y;
    bottom = y;
    left = Math.min(left, x);
    for (x = width - 1; x > right && mask[row + x] === 0; ) x--;
    right = Math.max(right, x);
  }
  return right < 0 ? [0, 0, 0, 0] : [left, top, right - left + 1, bottom - top + 1];
}

// The mask's whole words, when its memory is aligned.
function asWords(mask: Uint8Array): Uint32Array | undefined {
  if (mask.byteOffset % 4 !== 0) return undefined;
  return new Uint32Array(mask.buffer, mask.byteOffset, mask.length >> 2);
}

/** Throws unless both are positive integers of no more pixels than 2³¹ − 1. */
export function checkSize(width: number, height: number): void {
  if (!Number.isSafeInteger(width) || width < 1) throw invalidArgument('width', 'positive integer', width);
  if (!Number.isSafeInteger(height) || height < 1)
    throw invalidArgument('height', 'positive integer', height);
  if (width * height > MAX_PIXELS) {
    throw invalidArgument('width · height', `at most ${MAX_PIXELS} pixels`, width * height);
  }
}

/** Throws unless `mask` is a Uint8Array of `width · height` values. */
export function checkMask(mask: Uint8Array, width: number, height: number): void {
  checkSize(width, height);
  if (!isTypedArray(mask, 'Uint8Array')) throw invalidArgument('mask', 'Uint8Array', mask);
  if (mask.length !== width * height) {
    throw new SamError(
      'ERR_INVALID_ARGUMENT',
      `Expected ${width * height} values (${width} x ${height}) for mask but received ${mask.length}`,
    );
  }
}
