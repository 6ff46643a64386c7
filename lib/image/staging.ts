// Memory for copies of raw photographs, used again: pages that are new and pages that are given back stall the event loop for
// longer than the copy itself takes (36 MB: 10 ms in the garbage collector's callbacks alone).

const MOST_BYTES = 2 ** 28;
const KEEP_MS = 2000;

let spare: ArrayBuffer | undefined;
let forget: NodeJS.Timeout | undefined;

/** Memory of at least so many bytes, with whatever it holds. */
export function takeStaging(bytes: number): ArrayBuffer {
  const known = spare;
  if (known && known.byteLength >= bytes && known.byteLength <= 2 * bytes) {
    spare = undefined;
    return known;
  }
  return Buffer.allocUnsafeSlow(bytes).buffer;
}

/** Keeps memory that nobody uses any more for the next photograph, for two seconds. */
export function giveStagingBack(memory: ArrayBufferLike): void {
  if (!(memory instanceof ArrayBuffer) || memory.byteLength > MOST_BYTES) return;
  spare = memory;
  clearTimeout(forget);
  forget = setTimeout(() => {
    spare = undefined;
  }, KEEP_MS);
  forget.unref();
}
