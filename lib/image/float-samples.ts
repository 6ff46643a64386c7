// TIFFs of float samples: what is white follows from the largest value.
import type { Metadata, Sharp } from 'sharp';
import { SamError } from '../errors';
import { inBands, rowsPerBand } from './bands';
import type { RgbImage } from './types';

/** Whether the samples are floats of a space in which they are brightness as it is shown: not Lab, for one. */
export function isFloatImage({ depth, space }: Metadata): boolean {
  // libvips calls RGB floats scrgb, which would be linear light.
  return depth === 'float' && ['b-w', 'grey16', 'srgb', 'rgb16', 'scrgb'].includes(space);
}

/**
 * Decodes float samples: 0 … 1 times 255, or 0 … 255 as they are.
 *
 * @throws SamError ERR_IMAGE when a value is below 0, above 255 or no number
 */
export async function decodeFloats(pipeline: Sharp, header: Metadata, name: string): Promise<RgbImage> {
  // Into its own space: every other one would bend or clip the values.
  const { data, info } = await pipeline
    .pipelineColourspace(header.space)
    .toColourspace(header.space)
    .raw({ depth: 'float' })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const values = new Float32Array(data.buffer, data.byteOffset, width * height * channels);
  const colours = channels < 3 ? 1 : 3;
  const band = rowsPerBand(width);
  let largest = 0;
  await inBands(height, band, (begin, end) => {
    for (let pixel = begin * width; pixel < end * width; pixel++) {
      for (let c = 0; c < colours; c++) {
        const value = values[pixel * channels + c]!;
        if (!(value >= 0 && value <= 255)) {
          throw new SamError(
            'ERR_IMAGE',
            `Cannot decode ${name}: expected float samples between 0 and 1, or 0 and 255, but found ${value}`,
          );
        }
        if (value > largest) largest = value;
      }
    }
  });
  const scale = largest <= 1 ? 255 : 1;
  const rgb = new Uint8Array(3 * width * height);
  await inBands(height, band, (begin, end) => {
    for (let pixel = begin * width; pixel < end * width; pixel++) {
      for (let c = 0; c < 3; c++) {
        rgb[3 * pixel + c] = Math.round(scale * values[pixel * channels + (colours === 3 ? c : 0)]!);
      }
    }
  });
  return { data: rgb, width, height };
}
