// `--embedding`: a kept embedding is used when it fits the image and the options, never silently when it does not.

import { Embedding } from '../embedding';
import { checkModel } from '../embedding-info';
import { SamError } from '../errors';
import { inputGeometry } from '../image/resize';
import { resolveSettings, settingsKey } from '../model/ba-sam';
import type { SamConfig } from '../model/config';
import { attentionOf } from '../model/families';
import type { BaSamSettings } from '../options/settings';
import { type Size, sizeText } from '../size';
import type { EncodingOptions } from './settings';

/**
 * Loads an embedding of `image`.
 *
 * @param settings what the options ask for; only what was given on the command line is compared
 * @throws SamError ERR_IO, ERR_EMBEDDING; ERR_INVALID_ARGUMENT when it belongs to an image of another size, another
 *   model's shape, or was made with other options than those given
 */
export async function loadEmbedding(
  path: string,
  image: Size,
  config: SamConfig,
  flags: EncodingOptions,
  settings: BaSamSettings,
): Promise<Embedding> {
  // Its image must be as large as `image`, which has been decoded: no other limit is needed.
  const embedding = await Embedding.load(path, { limitInputPixels: Number.MAX_SAFE_INTEGER });
  const expected = (what: string, found: string) => {
    throw new SamError('ERR_INVALID_ARGUMENT', `${path}: expected ${what} but found ${found}`);
  };
  if (embedding.batch !== 1) expected('an embedding of one image', `${embedding.batch}`);
  try {
    checkModel(embedding, config);
  } catch (error) {
    throw error instanceof SamError ? new SamError(error.code, `${path}: ${error.message}`) : error;
  }
  const { content, input } = embedding;
  if (embedding.image.width !== image.width || embedding.image.height !== image.height) {
    expected(`an embedding of an image of ${sizeText(image)}`, sizeText(embedding.image));
  }

  const longestSide = Math.max(content.width, content.height);
  if (flags.longestSide !== undefined && flags.longestSide !== longestSide) {
    expected(`an embedding made with --longest-side ${flags.longestSide}`, `${longestSide}`);
  }
  if (flags.pad === false) {
    const { inputWidth, inputHeight } = inputGeometry({
      ...image,
      longestSide,
      pad: false,
      patch: config.patch,
    });
    if (inputWidth !== input.width || inputHeight !== input.height) {
      expected('an embedding made with --no-pad', `one padded to ${sizeText(input)}`);
    }
  }
  if (flags.dtype !== undefined && flags.dtype !== embedding.dtype) {
    expected(`an embedding made with --dtype ${flags.dtype}`, embedding.dtype);
  }
  if (flags.f8 && !embedding.f8) expected('an embedding made with --f8', 'one made without');
  const made = embedding.settings;
  const wanted = resolveSettings(
    {
      mode: settings.mode ?? made.mode,
      lengthScale: settings.lengthScale ?? made.lengthScale,
      distance: settings.distance ?? made.distance ?? undefined,
    },
    attentionOf(config),
  );
  if (settingsKey(wanted) !== settingsKey(made)) {
    expected(`an embedding made with the settings ${settingsKey(wanted)}`, settingsKey(made));
  }
  return embedding;
}
