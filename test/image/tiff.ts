// Writes small TIFFs of any sample type: one strip, not compressed, little-endian.

/** What the samples are; the numbers are TIFF's own. */
export interface TiffKind {
  readonly samples: number;
  readonly bits: number;
  /** 1 unsigned, 2 signed, 3 float. */
  readonly format: 1 | 2 | 3;
  /** 1 gray, 2 RGB, 8 CIE Lab, 9 ICC Lab. */
  readonly photometric: 1 | 2 | 8 | 9;
}

const SHORT = 3;
const LONG = 4;

/** A TIFF of one row of pixels. */
export function tiff({ samples, bits, format, photometric }: TiffKind, pixels: ArrayBufferView): Buffer {
  const data = Buffer.from(pixels.buffer, pixels.byteOffset, pixels.byteLength);
  const width = data.length / (samples * (bits / 8));
  const each = (value: number): number[] => new Array(samples).fill(value);
  const tags: [tag: number, type: number, values: number[]][] = [
    [256, LONG, [width]],
    [257, LONG, [1]],
    [258, SHORT, each(bits)],
    [259, SHORT, [1]],
    [262, SHORT, [photometric]],
    [273, LONG, [0]],
    [277, SHORT, [samples]],
    [278, LONG, [1]],
    [279, LONG, [data.length]],
    [339, SHORT, each(format)],
  ];
  const directory = Buffer.alloc(8 + 2 + 12 * tags.length + 4);
  directory.write('II*\0\x08\0\0\0', 'latin1');
  directory.writeUInt16LE(tags.length, 8);
  const lists: Buffer[] = [];
  let end = directory.length;
  for (const [i, [tag, type, values]] of tags.entries()) {
    const at = 10 + 12 * i;
    const bytes = Buffer.alloc(Math.max(4, values.length * (type === SHORT ? 2 : 4)));
    for (const [v, value] of values.entries()) {
      if (type === SHORT) bytes.writeUInt16LE(value, 2 * v);
      else bytes.writeUInt32LE(value, 4 * v);
    }
    directory.writeUInt16LE(tag, at);
    directory.writeUInt16LE(type, at + 2);
    directory.writeUInt32LE(values.length, at + 4);
    if (bytes.length <= 4) {
      bytes.copy(directory, at + 8);
    } else {
      directory.writeUInt32LE(end, at + 8);
      lists.push(bytes);
      end += bytes.length;
    }
  }
  directory.writeUInt32LE(end, 10 + 12 * tags.findIndex(([tag]) => tag === 273) + 8);
  return Buffer.concat([directory, ...lists, data]);
}
