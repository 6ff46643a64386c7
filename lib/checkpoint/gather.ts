// Copies a strided view into contiguous row-major order without holding up the event loop.
import { TimeSlice } from '../time-slice';

/** Elements copied between two looks at the clock. */
const BATCH_ELEMENTS = 16_384;

/**
 * True when a view with these strides is contiguous and row-major. Strides of dimensions of size 1 do not matter,
 * and those of an empty view are anything: nothing is read.
 */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false;
    expected *= shape[i]!;
  }
  return true;
}

/**
 * Gathers a strided view.
 *
 * @param target contiguous destination of `product(shape)` elements
 * @param source the view's storage; element 0 is the view's first
 * @param shape sizes, outermost first
 * @param strides in elements, as many as `shape`
 * @param itemBytes bytes of one element: 1, 2, 4, 8 or 16
 */
export async function gather(
  target: Uint8Array<ArrayBuffer>,
  source: Uint8Array<ArrayBuffer>,
  shape: readonly number[],
  strides: readonly number[],
  itemBytes: number,
): Promise<void> {
  if (itemBytes > 4) {
    // Wider elements are rows of 32-bit words: a float view could quieten a signalling NaN, and BigInt is slow.
    const words = itemBytes / 4;
    const scaled = strides.map((stride) => stride * words);
    return gather(target, source, [...shape, words], [...scaled, 1], 4);
  }
  const to = elements(target, itemBytes);
  const from = elements(source, itemBytes);
  const rank = shape.length;
  const count = to.length;
  if (count === 0) return;
  const inner = shape[rank - 1]!;
  const innerStride = strides[rank - 1]!;
  const index = new Array<number>(rank).fill(0);
  const slice = new TimeSlice();
  let row = 0;
  let at = 0;
  let batch = 0;
  while (at < count) {
    // A row can be longer than a batch, so it is cut as well.
    for (let done = 0; done < inner; ) {
      const stop = Math.min(inner, done + BATCH_ELEMENTS);
      batch += stop - done;
      for (; done < stop; done++) to[at++] = from[row + done * innerStride]!;
      if (batch >= BATCH_ELEMENTS) {
        batch = 0;
        if (slice.due()) await slice.next();
      }
    }
    for (let axis = rank - 2; axis >= 0; axis--) {
      index[axis]!++;
      row += strides[axis]!;
      if (index[axis]! < shape[axis]!) break;
      row -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
}

function elements(bytes: Uint8Array<ArrayBuffer>, itemBytes: number) {
  const { buffer, byteOffset, byteLength } = bytes;
  if (itemBytes === 4) return new Uint32Array(buffer, byteOffset, byteLength / 4);
  if (itemBytes === 2) return new Uint16Array(buffer, byteOffset, byteLength / 2);
  return bytes;
}
