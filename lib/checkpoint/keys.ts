// Finds the SAM in a checkpoint and shows it under the official key names, whatever wrapped or renamed them: training
// wrappers, module prefixes, encoder-only files and Hugging Face's SamModel.
import { describe, invalidArgument, SamError } from '../errors';
import { inferConfig, modelTensors, type SamConfig } from '../model/config';
import { POSITION_ENCODING } from '../model/decoder/names';
import { FAMILIES } from '../model/families';
import { type CheckpointOptions, checkpointSchema } from '../options/checkpoint';
import { parse } from '../options/validate';
import { TimeSlice } from '../time-slice';
import { type Candidate, chooseModel, isPartOf, officialName } from './candidates';
import { type Checkpoint, openCheckpoint, type TensorInfo } from './checkpoint';
import { checkpointError } from './file';
import { extendedModel, otherModel } from './relatives';

/** A checkpoint seen through official key names such as `image_encoder.blocks.0.attn.qkv.weight`. */
export interface SamCheckpoint {
  readonly path: string;
  /** The file underneath; `close` closes it. */
  readonly source: Checkpoint;
  /** Whose names the file uses. */
  readonly naming: 'official' | 'huggingface';
  /** What stands before the model's keys in the file, such as `state_dict.module.`; usually empty. */
  readonly prefix: string;
  /** What follows from the tensors' shapes. */
  readonly config: SamConfig;
  /** The tensors that the model's graphs ask for, by official name; each info carries the official name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** All other names in the file: optimizer state, other models, and those of `unknown`. */
  readonly ignored: readonly string[];
  /** Of `ignored`, names that belong to the model's parts: without `ignoreUnknownTensors` the file is refused for them. */
  readonly unknown: readonly string[];
  /** The name that an official name has in the file, for error messages. */
  sourceName(name: string): string | undefined;
  /** Reads a tensor by its official name; see {@link Checkpoint.read}. */
  read(name: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Closes the file. Safe to call again. */
  close(): Promise<void>;
}

/**
 * Opens a checkpoint and finds the model in it. No weight is read.
 *
 * @throws SamError ERR_INVALID_ARGUMENT; as {@link openCheckpoint} and {@link findModel} do
 */
export async function openSamCheckpoint(
  path: string,
  options: CheckpointOptions = {},
): Promise<SamCheckpoint> {
  const parsed = parse(checkpointSchema, options, 'options');
  const checkpoint = await openCheckpoint(path);
  try {
    return await findModel(checkpoint, parsed);
  } catch (error) {
    await checkpoint.close().catch(() => {});
    throw error;
  }
}

/**
 * The model in a checkpoint, under official names.
 *
 * @throws SamError ERR_CHECKPOINT when the file holds no SAM image encoder, two of them that nothing tells apart, a model
 *   that is not supported, such as SAM 2, one with a tensor missing or of a wrong shape or dtype, or one with tensors of which
 *   nothing is known, unless they are to be ignored
 */
export async function findModel(
  checkpoint: Checkpoint,
  options: CheckpointOptions = {},
): Promise<SamCheckpoint> {
  let found: SamCheckpoint;
  try {
    const candidate = await chooseModel(checkpoint);
    if (!candidate) throw noModel(checkpoint);
    found = await readModel(checkpoint, candidate, options);
  } catch (error) {
    // What the file is says more than what it lacks.
    const known = error instanceof SamError && error.code === 'ERR_CHECKPOINT';
    throw (known && (await relativeError(checkpoint, error))) || error;
  }
  if (found.unknown.length > 0 && !options.ignoreUnknownTensors) throw await unknownTensors(found);
  return found;
}

async function readModel(
  checkpoint: Checkpoint,
  candidate: Candidate,
  options: CheckpointOptions,
): Promise<SamCheckpoint> {
  const { path } = checkpoint;
  const { naming, root } = candidate;
  const named = new Map<string, TensorInfo>();
  const slice = new TimeSlice();
  for (const [name, info] of checkpoint.tensors) {
    if (slice.due()) await slice.next();
    const mapped = officialName(name, candidate);
    if (mapped === undefined) continue;
    const other = named.get(mapped)?.name;
    if (other !== undefined) {
      // Hugging Face ties two names to the one position encoding; any other double is a contradiction.
      if (mapped === POSITION_ENCODING && naming === 'huggingface') continue;
      throw checkpointError(path, `${describe(other)} and ${describe(name)} both stand for ${mapped}`);
    }
    named.set(mapped, info);
  }

  const sourceName = (name: string) => named.get(name)?.name;
  const config = inferConfig({ path, tensors: named, sourceName }, options);
  const needed = modelTensors(config).map(({ name }) => name);
  const tensors = new Map(needed.map((name) => [name, { ...named.get(name)!, name }]));
  const belongs = isPartOf(
    candidate,
    needed.map((name) => sourceName(name)!),
  );
  const ignored: string[] = [];
  const unknown: string[] = [];
  for (const name of checkpoint.tensors.keys()) {
    if (slice.due()) await slice.next();
    const mapped = officialName(name, candidate);
    if (mapped !== undefined && tensors.has(mapped)) continue;
    ignored.push(name);
    if (belongs(name)) unknown.push(name);
  }
  return {
    path,
    source: checkpoint,
    naming,
    prefix: root,
    config,
    tensors,
    ignored,
    unknown,
    sourceName,
    async read(name) {
      const source = tensors.has(name) ? sourceName(name) : undefined;
      if (source === undefined) throw invalidArgument('name', `a tensor of ${path}`, name);
      return checkpoint.read(source);
    },
    close: () => checkpoint.close(),
  };
}

function noModel({ path, tensors }: Checkpoint): SamError {
  const names = [...tensors.keys()];
  if (names.length === 0) return checkpointError(path, 'holds no tensors');
  const some = names.slice(0, 3).map((name) => describe(name));
  return checkpointError(
    path,
    `holds no SAM image encoder: expected image_encoder.${FAMILIES.vit.namings.official.anchor} but found ${names.length} other ` +
      `tensor${names.length === 1 ? '' : 's'} such as ${some.join(', ')}`,
  );
}

/** The error for a file that is known to be something else, or undefined. */
async function relativeError({ path, tensors }: Checkpoint, cause: SamError): Promise<SamError | undefined> {
  const other = await otherModel(tensors.keys());
  if (other !== undefined) return checkpointError(path, `is ${other}`, { cause });
  const extended = await extendedModel(tensors.keys());
  if (extended === undefined) return undefined;
  const reason = cause.message.replace(`${path}: `, '');
  return checkpointError(path, `is ${extended}; it is no SAM without them: ${reason}`, { cause });
}

async function unknownTensors({ path, source, unknown }: SamCheckpoint): Promise<SamError> {
  const extended = await extendedModel(source.tensors.keys());
  const [first] = unknown;
  const count = unknown.length === 1 ? '1 tensor' : `${unknown.length} tensors`;
  const found = `${count} that SAM does not have, first ${describe(first)}`;
  const remedy =
    'ignoreUnknownTensors (--ignore-unknown) loads it as plain SAM without them, which may give other masks';
  return checkpointError(
    path,
    extended === undefined
      ? `expected SAM's tensors alone in its parts but found ${found}; ${remedy}`
      : `is ${extended}; it has ${found}; ${remedy}`,
  );
}
