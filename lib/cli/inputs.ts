// What commands read: the model's configuration before its weights, pixel values, mask prompts.
import { type Checkpoint, checkpointFiles, openCheckpoint, type TensorInfo } from '../checkpoint/checkpoint';
import { checkpointError } from '../checkpoint/file';
import { openSamCheckpoint } from '../checkpoint/keys';
import type { PixelValues } from '../encoding';
import { allFinite } from '../finite';
import { lengthFactor, resolveSettings } from '../model/ba-sam';
import type { SamConfig } from '../model/config';
import { attentionOf } from '../model/families';
import type { CheckpointOptions } from '../options/checkpoint';
import type { BaSamSettings } from '../options/settings';
import type { Size } from '../size';
import type { NamedPath } from './outputs';

/**
 * Reads a model's configuration, which takes milliseconds, and checks the settings against it.
 *
 * @throws SamError ERR_IO, ERR_CHECKPOINT, ERR_INVALID_ARGUMENT
 */
export async function inspectModel(
  path: string,
  options: CheckpointOptions,
  settings: BaSamSettings,
): Promise<SamConfig> {
  const file = await openSamCheckpoint(path, options);
  try {
    resolveSettings(settings, attentionOf(file.config));
    return file.config;
  } finally {
    await file.close();
  }
}

/** The files of a model, none of which may be replaced. What is wrong with it is told when it is read. */
export async function modelFiles(path: string): Promise<NamedPath[]> {
  const files = await checkpointFiles(path).catch(() => [path]);
  return files.map((file) => ({ option: '--model', path: file }));
}

/**
 * Checks that the settings go with the size of an encoder's input.
 *
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function checkScale(settings: BaSamSettings, config: SamConfig, input: Size): void {
  const grid = { h: input.height / config.patch, w: input.width / config.patch };
  const attention = attentionOf(config);
  lengthFactor(resolveSettings(settings, attention), attention, grid, input);
}

/**
 * Reads `pixel_values` [B, 3, H, W] f32 from a safetensors file.
 *
 * @param patch side of a patch in px: H and W must be multiples of it
 * @throws SamError ERR_IO, ERR_CHECKPOINT
 */
export async function readPixelValues(path: string, patch: number): Promise<PixelValues> {
  return withFile(path, async (file) => {
    const info = tensor(file, 'pixel_values', '[B, 3, H, W]', 4);
    const [, channels, height, width] = info.shape as PixelValues['shape'];
    if (channels !== 3 || height % patch !== 0 || width % patch !== 0) {
      throw checkpointError(
        path,
        `expected pixel_values as f32 [B, 3, H, W] with H and W multiples of ${patch} but found ${shown(info)}`,
      );
    }
    return { pixelValues: await values(file, info), shape: info.shape as PixelValues['shape'] };
  });
}

/**
 * Reads a mask prompt for each of `prompts` prompts: `low_res_logits` [prompts, masks, 4·gridH, 4·gridW] as written by
 * `--low-res`. Of several masks per prompt the one with the best `iou_predictions` [prompts, masks] is taken.
 *
 * @param prompts how many there must be; undefined = whatever the file holds
 * @throws SamError ERR_IO, ERR_CHECKPOINT, ERR_INVALID_ARGUMENT
 */
export async function readMaskInput(
  path: string,
  grid: { readonly gridH: number; readonly gridW: number },
  prompts: number | undefined,
): Promise<Float32Array[]> {
  return withFile(path, async (file) => {
    const info = tensor(file, 'low_res_logits', '[prompts, masks, 4·Gh, 4·Gw]', 4);
    const [count, masks, height, width] = info.shape as [number, number, number, number];
    if (height !== 4 * grid.gridH || width !== 4 * grid.gridW) {
      throw checkpointError(
        path,
        `expected low_res_logits of ${4 * grid.gridH} × ${4 * grid.gridW} for this image's grid of ` +
          `${grid.gridH} × ${grid.gridW} tokens but found ${shown(info)}`,
      );
    }
    if (prompts !== undefined && count !== prompts) {
      throw checkpointError(
        path,
        `expected low_res_logits of ${prompts} prompt${prompts === 1 ? '' : 's'} but found ${count}`,
      );
    }
    const best = masks === 1 ? new Array<number>(count).fill(0) : await bestMasks(file, count, masks);
    const data = await values(file, info);
    const size = height * width;
    return best.map((mask, prompt) => {
      const at = (prompt * masks + mask) * size;
      return data.subarray(at, at + size);
    });
  });
}

async function bestMasks(file: Checkpoint, count: number, masks: number): Promise<number[]> {
  const info = tensor(file, 'iou_predictions', '[prompts, masks], to choose one of several masks', 2);
  if (info.shape[0] !== count || info.shape[1] !== masks) {
    throw checkpointError(
      file.path,
      `expected iou_predictions of shape [${count}, ${masks}] but found ${shown(info)}`,
    );
  }
  const scores = await values(file, info);
  return Array.from({ length: count }, (_, prompt) => {
    let best = 0;
    for (let m = 1; m < masks; m++) {
      if (scores[prompt * masks + m]! > scores[prompt * masks + best]!) best = m;
    }
    return best;
  });
}

async function withFile<T>(path: string, use: (file: Checkpoint) => Promise<T>): Promise<T> {
  const file = await openCheckpoint(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

// A non-empty f32 tensor with `rank` dimensions.
function tensor(file: Checkpoint, name: string, expected: string, rank: number): TensorInfo {
  const info = file.tensors.get(name);
  if (!info) {
    const found = [...file.tensors.keys()].slice(0, 3).join(', ') || 'no tensors';
    throw checkpointError(file.path, `expected a tensor ${name} ${expected} but found ${found}`);
  }
  if (info.dtype !== 'f32' || info.shape.length !== rank || info.shape.includes(0)) {
    throw checkpointError(file.path, `expected ${name} as f32 ${expected} but found ${shown(info)}`);
  }
  return info;
}

async function values(file: Checkpoint, { name, shape }: TensorInfo): Promise<Float32Array> {
  const bytes = await file.read(name);
  const data = new Float32Array(bytes.buffer);
  if (!(await allFinite(data))) {
    throw checkpointError(file.path, `expected finite values in ${name} [${shape.join(', ')}]`);
  }
  return data;
}

function shown({ dtype, shape }: TensorInfo): string {
  return `${dtype} [${shape.join(', ')}]`;
}
