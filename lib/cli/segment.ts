// `ba-sam segment IMAGE …`: an image and prompts in; masks, overlay, JSON and low-resolution logits out.
import { stat } from 'node:fs/promises';
import { resolveCompute } from '../device';
import { SamError } from '../errors';
import { Outputs } from '../files/outputs';
import { decodeImage } from '../image/load';
import { checkOutputSize } from '../image/output';
import { inputGeometry } from '../image/resize';
import type { SamConfig } from '../model/config';
import { checkpointOf } from '../options/checkpoint';
import { segmentCommandShape } from '../options/commands';
import type { BaSamSettings } from '../options/settings';
import { readText } from '../options/text';
import { filePath } from '../options/validate';
import { BUNDLED_MODEL, Sam } from '../sam';
import type { Size } from '../size';
import { loadEmbedding } from './embeddings';
import { optionsOf, type Texts } from './flags';
import { checkScale, inspectModel, modelFiles, readMaskInput } from './inputs';
import { checkOutputs, JSON_FILE, MASK, type NamedPath, PICTURE, SAFETENSORS } from './outputs';
import { Progress } from './progress';
import { buildPrompts, checkInside, type PromptOptions, promptCount } from './prompts';
import { checkWanted, type ResultFiles, Results } from './results';
import { computeOf, type EncodingOptions, settingsOf } from './settings';

type SegmentOptions = EncodingOptions & PromptOptions & ResultFiles & { readonly embedding?: string };

/**
 * Runs the command.
 *
 * @param imagePath path of an image; prompts and masks are in its pixels
 * @param texts what commander hands over
 * @throws UsageError, SamError; the signal's reason
 */
export async function segment(imagePath: string, texts: Texts, signal: AbortSignal): Promise<void> {
  // From cheap to dear: what can be refused is refused before the weights are loaded.
  readText(filePath, imagePath, 'IMAGE');
  const options = optionsOf(segmentCommandShape, texts);
  checkWanted(options);
  const count = promptCount(options);
  const settings = settingsOf(options);
  const compute = computeOf(options);
  const checkpoint = checkpointOf(options);
  resolveCompute(compute);
  const { model = BUNDLED_MODEL, longestSide, pad, multimask } = options;
  const reuse = options.embedding !== undefined && (await exists(options.embedding));
  await checkFiles(imagePath, model, options, reuse);
  const config = await inspectModel(model, checkpoint, settings);
  if (!config.decoder) {
    throw new SamError(
      'ERR_CHECKPOINT',
      `${model}: expected a mask decoder but found an image encoder only: it can encode, not segment`,
    );
  }
  const image = await decodeImage(imagePath, { limitInputPixels: options.limitInputPixels, signal });
  checkPictureSize(options, image);
  checkInside(options, image);
  const known = reuse ? await loadEmbedding(options.embedding!, image, config, options, settings) : undefined;
  const grid = known ?? gridOf(image, config, settings, options);
  const masks = options.maskInput === undefined ? [] : await readMaskInput(options.maskInput, grid, count);
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
      const embedding =
        known ??
        (await sam.encode(image, { longestSide, pad, signal, onProgress: progress.stage('encode') }));
      const onProgress = progress.stage('predict');
      const prompts = buildPrompts(options, masks);
      const results = new Results(options, image);
      const each = sam.predictEach(embedding, prompts, { multimask, format: 'rle', signal, onProgress });
      for await (const prediction of each) results.add(prediction);
      await results.write(outputs);
      if (!known && options.embedding !== undefined) {
        await outputs.write(options.embedding, (file) => embedding.save(file));
      }
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

async function checkFiles(
  image: string,
  model: string,
  options: SegmentOptions,
  reuse: boolean,
): Promise<void> {
  const { output, overlay, json, lowRes, embedding, maskInput } = options;
  const named = (option: string, path: string | undefined): NamedPath[] =>
    path === undefined ? [] : [{ option, path }];
  await checkOutputs(
    [
      ...named('--output', output).map((file) => ({ ...file, extensions: MASK })),
      ...named('--overlay', overlay).map((file) => ({ ...file, extensions: PICTURE })),
      ...named('--json', json).map((file) => ({ ...file, extensions: JSON_FILE })),
      ...named('--low-res', lowRes).map((file) => ({ ...file, extensions: SAFETENSORS })),
      ...named('--embedding', reuse ? undefined : embedding).map((file) => ({
        ...file,
        extensions: SAFETENSORS,
      })),
    ],
    [
      { option: 'IMAGE', path: image },
      ...(await modelFiles(model)),
      ...named('--mask-input', maskInput),
      ...named('--embedding', reuse ? embedding : undefined),
    ],
  );
}

// The formats' own limits, which libvips would find when everything is computed.
function checkPictureSize({ output, overlay }: SegmentOptions, { width, height }: Size): void {
  for (const file of [output, overlay]) if (file !== undefined) checkOutputSize(file, width, height);
}

function gridOf(
  { width, height }: Size,
  config: SamConfig,
  settings: BaSamSettings,
  { longestSide = config.trainedSide_px, pad = true }: EncodingOptions,
): { gridH: number; gridW: number } {
  const geometry = inputGeometry({ width, height, longestSide, pad, patch: config.patch });
  checkScale(settings, config, { width: geometry.inputWidth, height: geometry.inputHeight });
  return geometry;
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
