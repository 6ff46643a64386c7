// Uncompressed TIFF files of any sample format and colour space: sharp writes only some of them.

interface TiffOptions {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly bits: number;
  /** 1 whole numbers, 2 signed ones, 3 floats. */
  readonly sampleFormat: 1 | 2 | 3;
  /** 1 gray, 2 RGB, 8 CIE Lab, 9 ICC Lab; default: by the number of channels. */
  readonly photometric?: 1 | 2 | 8 | 9;
  /** [height, width, channels] in this machine's (little-endian) order. */
  readonly data: ArrayBufferView;
  /** The last channel is alpha. */
  readonly alpha?: boolean;
}

/** The bytes of a TIFF file with one strip. Source: TIFF 6.0, sections 2 and 19. */
export function tiff(options: TiffOptions): Buffer {
  const { width, height, channels, bits, sampleFormat, data, alpha } = options;
  const { photometric = channels < 3 ? 1 : 2 } = options;
  const [SHORT, LONG] = [3, 4];
  const pixels = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const perChannel = (value: number) => Array<number>(channels).fill(value);
  const tags: [tag: number, type: number, values: number[]][] = [
    [256, LONG, [width]],
    [257, LONG, [height]],
    [258, SHORT, perChannel(bits)],
    [259, SHORT, [1]],
    [262, SHORT, [photometric]],
    [273, LONG, [0]],
    [277, SHORT, [channels]],
    [278, LONG, [height]],
    [279, LONG, [pixels.length]],
  ];
  if (alpha) tags.push([338, SHORT, [2]]);
  tags.push([339, SHORT, perChannel(sampleFormat)]);

  const directory = Buffer.alloc(8 + 2 + 12 * tags.length + 4);
  const outside: Buffer[] = [];
  let end = directory.length;
  directory.write('II*\0', 'latin1');
  directory.writeUInt32LE(8, 4);
  directory.writeUInt16LE(tags.length, 8);
  let stripAt = 0;
  for (const [i, [tag, type, values]] of tags.entries()) {
    const at = 10 + 12 * i;
    const bytes = Buffer.alloc(Math.max(4, values.length * (type === SHORT ? 2 : 4)));
    for (const [k, value] of values.entries()) {
      if (type === SHORT) bytes.writeUInt16LE(value, 2 * k);
      else bytes.writeUInt32LE(value, 4 * k);
    }
    directory.writeUInt16LE(tag, at);
    directory.writeUInt16LE(type, at + 2);
    directory.writeUInt32LE(values.length, at + 4);
    if (tag === 273) stripAt = at + 8;
    if (bytes.length === 4) bytes.copy(directory, at + 8);
    else {
      directory.writeUInt32LE(end, at + 8);
      outside.push(bytes);
      end += bytes.length;
    }
  }
  directory.writeUInt32LE(end, stripAt);
  return Buffer.concat([directory, ...outside, pixels]);
}
