// Checkpoints in several files beside an index, as Hugging Face writes large ones: `model.safetensors.index.json` says which file
// each tensor is in.
import path from 'node:path';
import { describe, invalidArgument, SamError } from '../errors';
import { isFile, isFolder } from '../files/kind';
import { TimeSlice } from '../time-slice';
import type { Checkpoint, TensorInfo } from './checkpoint';
import { CheckpointFile, checkpointError } from './file';
import { HeaderError, HeaderScanner, MAX_NAME_BYTES, MAX_TENSORS } from './header-json';

/** That of a ViT-H would have 60 kB. */
const MAX_INDEX_BYTES = 32 * 1024 * 1024;
/** Each is an open file. */
const MAX_SHARDS = 256;

/** What a model's folder holds, in the order in which transformers looks for it. */
const IN_FOLDER = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
] as const;

/**
 * The checkpoint's file in a folder that Hugging Face's `save_pretrained` wrote; any other path as it is.
 *
 * @throws SamError ERR_CHECKPOINT for a folder without one
 */
export async function fileInFolder(given: string): Promise<string> {
  // Whatever is wrong with it shows when it is opened.
  if (!(await isFolder(given))) return given;
  for (const name of IN_FOLDER) {
    const file = path.join(given, name);
    if (await isFile(file)) return file;
  }
  throw checkpointError(
    given,
    `is a directory without ${IN_FOLDER.slice(0, 2).join(' or ')}; expected a .safetensors, .pt or .pth file`,
  );
}

/**
 * Opens the files that an index names and shows them as one checkpoint. The index's file is closed.
 *
 * @param open opens one file, which is no index
 * @throws SamError ERR_CHECKPOINT when index and files contradict each other; ERR_IO when a file is missing
 */
export async function openSharded(
  index: CheckpointFile,
  open: (file: CheckpointFile) => Promise<Checkpoint>,
): Promise<Checkpoint> {
  const places = await readIndex(index);
  await index.close();
  const shards = new Map<string, Checkpoint>();
  const close = async () => {
    await Promise.all([...shards.values()].map((shard) => shard.close()));
  };
  try {
    for (const name of new Set(places.values())) {
      shards.set(name, await openShard(path.join(path.dirname(index.path), name), open));
    }
    const tensors = await listTensors(index, places, shards);
    return {
      path: index.path,
      files: [index.path, ...[...shards.values()].flatMap(({ files }) => files)],
      format: [...shards.values()][0]!.format,
      tensors,
      metadata: Object.create(null),
      async read(name) {
        if (!tensors.has(name)) throw invalidArgument('name', `a tensor of ${index.path}`, name);
        return shards.get(places.get(name)!)!.read(name);
      },
      close,
    };
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
}

async function openShard(
  file: string,
  open: (file: CheckpointFile) => Promise<Checkpoint>,
): Promise<Checkpoint> {
  const opened = await CheckpointFile.open(file);
  try {
    return await open(opened);
  } catch (error) {
    await opened.close().catch(() => {});
    throw error;
  }
}

async function listTensors(
  index: CheckpointFile,
  places: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, Checkpoint>,
): Promise<Map<string, TensorInfo>> {
  const tensors = new Map<string, TensorInfo>();
  const slice = new TimeSlice();
  for (const [name, place] of places) {
    const info = shards.get(place)!.tensors.get(name);
    if (!info) throw index.error(`expected ${describe(name)} in ${describe(place)} but it is not there`);
    tensors.set(name, info);
    if (slice.due()) await slice.next();
  }
  // Left out, they would be weights that nobody misses.
  for (const [place, shard] of shards) {
    for (const name of shard.tensors.keys()) {
      if (places.get(name) === place) continue;
      const where = tensors.has(name) ? `to be in ${describe(places.get(name))} alone` : 'in the index';
      throw index.error(`expected ${describe(name)} of ${describe(place)} ${where}`);
    }
    if (slice.due()) await slice.next();
  }
  return tensors;
}

/** The file of every tensor. */
async function readIndex(file: CheckpointFile): Promise<Map<string, string>> {
  if (!(file.size <= MAX_INDEX_BYTES)) {
    throw file.error(`is an index of ${file.size} bytes; expected at most ${MAX_INDEX_BYTES}`);
  }
  const scan = new HeaderScanner(await file.read(0, file.size));
  let places: Map<string, string> | undefined;
  try {
    scan.expect('{');
    if (!scan.take('}')) {
      do {
        const field = scan.string(MAX_NAME_BYTES);
        scan.expect(':');
        if (field !== 'weight_map') scan.skip();
        else if (places) throw new HeaderError('weight_map appears twice');
        else places = await readPlaces(scan);
      } while (scan.take(','));
      scan.expect('}');
    }
    if (!scan.atEnd()) throw scan.error('something follows the object');
  } catch (error) {
    if (!(error instanceof HeaderError)) throw error;
    throw file.error(
      `is JSON, but not the index of a sharded checkpoint: ${error.message.replace(/ of the header$/, '')}`,
      { cause: error },
    );
  }
  if (!places) {
    throw file.error('is JSON, but not the index of a sharded checkpoint: expected a weight_map in it');
  }
  if (places.size === 0) throw file.error('holds no tensors: its weight_map is empty');
  checkShards(file, places);
  return places;
}

async function readPlaces(scan: HeaderScanner): Promise<Map<string, string>> {
  const places = new Map<string, string>();
  const slice = new TimeSlice();
  scan.expect('{');
  if (scan.take('}')) return places;
  do {
    const name = scan.string(MAX_NAME_BYTES);
    scan.expect(':');
    if (places.has(name)) throw new HeaderError(`tensor ${describe(name)} appears twice`);
    if (!(places.size < MAX_TENSORS)) throw new HeaderError(`more than ${MAX_TENSORS} tensors`);
    places.set(name, scan.string(MAX_NAME_BYTES));
    if (slice.due()) await slice.next();
  } while (scan.take(','));
  scan.expect('}');
  return places;
}

/** The files lie beside the index: a name that leads elsewhere could make a service read, and tell of, any file. */
function checkShards(file: CheckpointFile, places: ReadonlyMap<string, string>): void {
  const names = new Set(places.values());
  if (!(names.size <= MAX_SHARDS)) {
    throw new SamError(
      'ERR_CHECKPOINT',
      `${file.path}: expected at most ${MAX_SHARDS} files but found ${names.size}`,
    );
  }
  for (const name of names) {
    if (name === '' || name === '.' || name === '..' || /[/\\\0:]/.test(name)) {
      throw file.error(`expected the names of files beside it but found ${describe(name)}`);
    }
  }
}
