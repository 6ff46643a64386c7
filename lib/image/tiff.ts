// What a TIFF says about its samples, where libvips does not: a small reader of its first directory.

export const BITS_PER_SAMPLE = 258;
export const PHOTOMETRIC = 262;
// Values of PHOTOMETRIC.
export const RGB = 2;
/** a and b are signed. */
export const CIE_LAB = 8;
/** a and b are stored with 128 added. */
export const ICC_LAB = 9;

export interface TiffTags {
  /** The first value of a tag that holds numbers of 16 bits. */
  short(tag: number): number | undefined;
  /** Changes the first value of a tag, which is there, in a copy of the file. */
  setShort(copy: Uint8Array, tag: number, value: number): void;
}

/**
 * The tags of a TIFF's first picture; undefined for every other file. Source: TIFF 6.0, section 2; BigTIFF has wider counts and
 * offsets.
 */
export function tiffTags(bytes: Uint8Array): TiffTags | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < 16) return undefined;
  const order = view.getUint16(0);
  const little = order === 0x4949;
  if (!little && order !== 0x4d4d) return undefined;
  const kind = view.getUint16(2, little);
  if (kind !== 42 && kind !== 43) return undefined;
  const big = kind === 43;
  const number = (at: number) => (big ? Number(view.getBigUint64(at, little)) : view.getUint32(at, little));
  const width = big ? 8 : 4;
  const start = number(big ? 8 : 4);
  const entries = start + (big ? 8 : 2);
  const size = big ? 20 : 12;
  if (!(entries <= view.byteLength)) return undefined;
  const count = big ? number(start) : view.getUint16(start, little);
  // Where the value of a tag lies: in its entry, or where that points.
  const find = (tag: number): number | undefined => {
    for (let i = 0, at = entries; i < count && at + size <= view.byteLength; i++, at += size) {
      if (view.getUint16(at, little) !== tag) continue;
      const value = at + 4 + width;
      const bytesOfShorts = 2 * number(at + 4);
      const offset = bytesOfShorts <= width ? value : number(value);
      return offset + 2 <= view.byteLength ? offset : undefined;
    }
    return undefined;
  };
  return {
    short(tag) {
      const at = find(tag);
      return at === undefined ? undefined : view.getUint16(at, little);
    },
    setShort(copy, tag, value) {
      new DataView(copy.buffer).setUint16(find(tag)!, value, little);
    },
  };
}
