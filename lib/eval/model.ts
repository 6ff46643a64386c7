// The model of an evaluation, before its weights are loaded: what it is, and which file.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { checkpointFiles } from '../checkpoint/checkpoint';
import { openSamCheckpoint } from '../checkpoint/keys';
import { SamError } from '../errors';
import { readError } from '../files/kind';
import type { SamConfig } from '../model/config';
import type { CheckpointOptions } from '../options/checkpoint';

/**
 * Reads a model's configuration, which takes milliseconds.
 *
 * @throws SamError ERR_IO, ERR_CHECKPOINT, also for an encoder without a mask decoder
 */
export async function modelConfig(path: string, options: CheckpointOptions = {}): Promise<SamConfig> {
  const file = await openSamCheckpoint(path, options);
  try {
    if (!file.config.decoder) {
      throw new SamError(
        'ERR_CHECKPOINT',
        `${path}: expected a mask decoder but found an image encoder only: it predicts no masks`,
      );
    }
    return file.config;
  } finally {
    await file.close();
  }
}

const hashes = new Map<string, Promise<string>>();

/**
 * SHA-256 of a file in hex. A suite asks for one model's many times: the answer is kept until the file changes.
 *
 * @throws SamError ERR_IO
 */
async function fileHash(path: string): Promise<string> {
  const { size, mtimeMs } = await stat(path).catch((cause) => {
    throw readError(path, cause);
  });
  const key = `${path}/${size}/${mtimeMs}`;
  const known = hashes.get(key);
  if (known) return known;
  const hash = hashFile(path).catch((cause) => {
    hashes.delete(key);
    throw readError(path, cause);
  });
  hashes.set(key, hash);
  return hash;
}

/**
 * SHA-256 of a model in hex: of its file, or of the hashes of all its files.
 *
 * @throws SamError ERR_IO, ERR_CHECKPOINT
 */
export async function modelHash(path: string): Promise<string> {
  const hashes: string[] = [];
  for (const file of await checkpointFiles(path)) hashes.push(await fileHash(file));
  return hashes.length === 1 ? hashes[0]! : createHash('sha256').update(hashes.join()).digest('hex');
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
