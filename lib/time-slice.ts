// Long computations that let the event loop go on.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SamError } from './errors';

/**
 * Keeps a long computation from stalling the event loop: call `due()` in the loop and `await next()` when it
 * says so. Hostile headers can take seconds to parse, and a server must answer meanwhile.
 */
export class TimeSlice {
  #start = performance.now();

  /** True after 3 ms of uninterrupted work: with a garbage collection on top, others wait for less than 10 ms. */
  due(): boolean {
    return performance.now() - this.#start > 3;
  }

  async next(): Promise<void> {
    await nextTurn();
    this.#start = performance.now();
  }
}

// Copied at once: 1 to 4 ms, most of it page faults.
const AT_ONCE_BYTES = 2 ** 23;
const SLICE_BYTES = 2 ** 20;

/**
 * A copy of an array that belongs to a caller. Up to 8 MiB are copied before this returns; of larger ones, pieces, between which
 * other events run: until the promise is settled nobody may write to those or transfer them.
 *
 * @param name what errors call the array
 * @param allocate memory for the copy, of at least so many bytes
 * @throws SamError ERR_INVALID_ARGUMENT when the array was transferred or shrunk meanwhile, ERR_OUT_OF_MEMORY
 */
export async function copyInSlices<T extends CopyableArray>(
  source: T,
  name: string,
  allocate: (bytes: number) => ArrayBuffer = (bytes) => Buffer.allocUnsafeSlow(bytes).buffer,
): Promise<T> {
  const { length, byteLength, BYTES_PER_ELEMENT } = source;
  let copy: T;
  try {
    // Not filled with zeros first, which takes as long as the copy.
    copy = new (arrayOf(source))(allocate(byteLength), 0, length) as T;
  } catch (cause) {
    throw new SamError('ERR_OUT_OF_MEMORY', `Could not allocate ${byteLength} bytes for ${name}`, { cause });
  }
  const step = (byteLength <= AT_ONCE_BYTES ? AT_ONCE_BYTES : SLICE_BYTES) / BYTES_PER_ELEMENT;
  const slice = new TimeSlice();
  for (let at = 0; at < length; at += step) {
    checkInPlace(source, length, name);
    copy.set(source.subarray(at, Math.min(at + step, length)), at);
    if (at + step < length && slice.due()) await slice.next();
  }
  return copy;
}

/**
 * For loops over an array of a caller's that other events interrupt: a buffer that is transferred has no elements any more.
 *
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function checkInPlace({ length }: { readonly length: number }, expected: number, name: string): void {
  if (length === expected) return;
  throw new SamError('ERR_INVALID_ARGUMENT', `Expected ${name} to stay in place but it was transferred`);
}

type CopyableArray = Uint8Array | Uint8ClampedArray | Uint16Array | Float32Array;

// Of this realm, and no Buffer: those come from a pool.
function arrayOf(source: CopyableArray) {
  switch (Object.prototype.toString.call(source)) {
    case '[object Float32Array]':
      return Float32Array;
    case '[object Uint16Array]':
      return Uint16Array;
    case '[object Uint8ClampedArray]':
      return Uint8ClampedArray;
    default:
      return Uint8Array;
  }
}
