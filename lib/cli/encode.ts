// `ba-sam encode IN -o OUT.safetensors`.
import path from 'node:path';
import { openCheckpoint } from '../checkpoint/checkpoint';
import { type EncodeOptions, type PixelValues, Sam } from '../sam';
import { UsageError } from './errors';
import { encodeOptions, loadOptions, type SharedOptions } from './options';
import { checkOutputs } from './outputs';
import { Progress } from './progress';

export interface EncodeCommandOptions extends SharedOptions {
  output: string;
}

/** @throws UsageError, SamError, or an AbortError on Ctrl-C */
export async function encode(
  input: string,
  options: EncodeCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  const encodeWith = encodeOptions(options);
  await checkOutputs(
    [{ option: '--output', file: options.output, extensions: ['.safetensors'] }],
    [input, options.model],
  );
  const image =
    path.extname(input).toLowerCase() === '.safetensors' ? await readPixels(input, encodeWith) : input;
  const progress = new Progress();
  try {
    const sam = await Sam.load(options.model, {
      ...loadOptions(options),
      signal,
      onProgress: progress.stage('load'),
    });
    try {
      const embedding = await sam.encode(image, {
        ...encodeWith,
        signal,
        onProgress: progress.stage('encode'),
      });
      await embedding.save(options.output);
      progress.wrote(options.output);
    } finally {
      await sam.dispose();
    }
  } finally {
    progress.stop();
  }
}

async function readPixels(file: string, options: EncodeOptions): Promise<PixelValues> {
  if (options.longestSide !== undefined || options.pad === false) {
    throw new UsageError(
      'Expected no --longest-side or --no-pad with pixel_values: they are used as they are',
    );
  }
  const source = await openCheckpoint(file);
  try {
    const tensor = source.tensors.get('pixel_values');
    if (!tensor) throw new UsageError(`${file}: expected a tensor pixel_values but there is none`);
    const { dtype, shape } = tensor;
    if (dtype !== 'f32' || shape.length !== 4 || shape[1] !== 3 || !shape.every((dim) => dim > 0)) {
      throw new UsageError(
        `${file}: expected pixel_values as f32 [B, 3, H, W] but found ${dtype} [${shape.join(', ')}]`,
      );
    }
    const bytes = await source.read('pixel_values');
    return { pixelValues: new Float32Array(bytes.buffer), shape: shape as unknown as PixelValues['shape'] };
  } finally {
    await source.close();
  }
}
