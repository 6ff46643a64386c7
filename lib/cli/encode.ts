// `ba-sam encode IN -o OUT.safetensors`: an image or pixel values in, an embedding out.
import path from 'node:path';
import { resolveCompute } from '../device';

import type { PixelValues } from '../encoding';
import { Outputs } from '../files/outputs';
import { decodeImage } from '../image/load';
import { inputGeometry } from '../image/resize';
import type { RgbImage } from '../image/types';
import type { SamConfig } from '../model/config';
import { checkpointOf } from '../options/checkpoint';
import { encodeCommandShape } from '../options/commands';
import { readText } from '../options/text';
import { filePath } from '../options/validate';
import { BUNDLED_MODEL, Sam } from '../sam';
import { type Size, sizeText } from '../size';
import { UsageError } from './errors';
import { optionsOf, type Texts } from './flags';
import { checkScale, inspectModel, modelFiles, readPixelValues } from './inputs';
import { checkOutputs, SAFETENSORS } from './outputs';
import { Progress } from './progress';
import { computeOf, type EncodingOptions, settingsOf } from './settings';

/**
 * Runs the command.
 *
 * @param input path of an image, or of a `.safetensors` with `pixel_values`
 * @param texts what commander hands over
 * @throws UsageError, SamError; the signal's reason
 */
export async function encode(input: string, texts: Texts, signal: AbortSignal): Promise<void> {
  // From cheap to dear: what can be refused is refused before the weights are loaded.
  readText(filePath, input, 'IN');
  const options = optionsOf(encodeCommandShape, texts);
  const settings = settingsOf(options);
  const compute = computeOf(options);
  const checkpoint = checkpointOf(options);
  resolveCompute(compute);
  const { model = BUNDLED_MODEL, output, longestSide, pad } = options;
  await checkOutputs(
    [{ option: '--output', path: output, extensions: SAFETENSORS }],
    [{ option: 'IN', path: input }, ...(await modelFiles(model))],
  );
  const config = await inspectModel(model, checkpoint, settings);
  const source =
    path.extname(input).toLowerCase() === '.safetensors'
      ? checkSize(await readPixelValues(input, config.patch), longestSide)
      : await decodeImage(input, { limitInputPixels: options.limitInputPixels, signal });
  checkScale(settings, config, inputSize(source, config, options));
  signal.throwIfAborted();

  const progress = new Progress();
  const outputs = new Outputs();
  try {
    const onLoad = progress.stage('load');
    const sam = await Sam.load(model, {
      ...{ ...settings, ...compute, ...checkpoint },
      signal,
      onProgress: onLoad,
    });
    try {
      const onProgress = progress.stage('encode');
      const embedding = await sam.encode(source, { longestSide, pad, signal, onProgress });
      await outputs.write(output, (file) => embedding.save(file));
    } finally {
      await sam.dispose();
    }
    signal.throwIfAborted();
    for (const file of await outputs.commit()) progress.wrote(file);
  } finally {
    progress.stop();
    await outputs.discard();
  }
}

function inputSize(
  source: PixelValues | RgbImage,
  { trainedSide_px, patch }: SamConfig,
  { longestSide = trainedSide_px, pad = true }: EncodingOptions,
): Size {
  if ('pixelValues' in source) return { width: source.shape[3], height: source.shape[2] };
  const { width, height } = source;
  const { inputWidth, inputHeight } = inputGeometry({ width, height, longestSide, pad, patch });
  return { width: inputWidth, height: inputHeight };
}

// Pixel values are used as they are: another size cannot be had.
function checkSize(pixels: PixelValues, longestSide: number | undefined): PixelValues {
  const [, , height, width] = pixels.shape;
  if (longestSide !== undefined && longestSide !== Math.max(height, width)) {
    throw new UsageError(
      `Expected no --longest-side with pixel_values of ${sizeText({ width, height })}, which are used as they are, but ` +
        `received ${longestSide}`,
    );
  }
  return pixels;
}
