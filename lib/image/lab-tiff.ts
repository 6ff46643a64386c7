// TIFFs of 8-bit Lab, which libvips takes for another coding and refuses: read as RGB, then converted here.
import { inBands, rowsPerBand } from './bands';
import { BITS_PER_SAMPLE, CIE_LAB, ICC_LAB, PHOTOMETRIC, RGB, type TiffTags } from './tiff';
import type { RgbImage } from './types';

/** A TIFF of 8-bit Lab. */
export interface Lab8 {
  /** The same file, which says that its samples are RGB. */
  readonly asRgb: Uint8Array;
  /** What comes of the samples, in place. */
  toRgb(samples: RgbImage): Promise<RgbImage>;
}

/** What there is to do about a TIFF of 8-bit Lab; undefined for every other file. */
export function readLab8(bytes: Uint8Array, tags: TiffTags | undefined): Lab8 | undefined {
  const space = tags?.short(PHOTOMETRIC);
  if (!tags || (space !== CIE_LAB && space !== ICC_LAB) || tags.short(BITS_PER_SAMPLE) !== 8)
    return undefined;
  const asRgb = new Uint8Array(bytes);
  tags.setShort(asRgb, PHOTOMETRIC, RGB);
  return { asRgb, toRgb: (samples) => labToRgb(samples, space === CIE_LAB) };
}

// sRGB of Lab with the white of D65, as libvips has it for 16 bits, in place. Source: CIE 15 and IEC 61966-2-1.
async function labToRgb(image: RgbImage, signed: boolean): Promise<RgbImage> {
  const { data, width, height } = image;
  const cube = (f: number) => (f > 6 / 29 ? f * f * f : (f - 4 / 29) * (108 / 841));
  const gamma = (linear: number) =>
    Math.round(255 * (linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055));
  const chroma = (byte: number) => (signed ? (byte << 24) >> 24 : byte - 128);
  await inBands(height, rowsPerBand(width), (begin, end) => {
    for (let p = 3 * begin * width; p < 3 * end * width; p += 3) {
      const y = ((data[p]! * 100) / 255 + 16) / 116;
      const x = 0.95047 * cube(y + chroma(data[p + 1]!) / 500);
      const z = 1.08883 * cube(y - chroma(data[p + 2]!) / 200);
      const luminance = cube(y);
      const rgb = [
        3.2404542 * x - 1.5371385 * luminance - 0.4985314 * z,
        -0.969266 * x + 1.8760108 * luminance + 0.041556 * z,
        0.0556434 * x - 0.2040259 * luminance + 1.0572252 * z,
      ];
      for (let c = 0; c < 3; c++) data[p + c] = gamma(Math.min(1, Math.max(0, rgb[c]!)));
    }
  });
  return image;
}
