// Finds the SAM in a checkpoint and shows it under the official key names, whatever wrapped or renamed them: training
// wrappers, module prefixes, encoder-only files and Hugging Face's SamModel.
import { invalidArgument } from '../errors';
import { inferConfig, modelTensors, type SamConfig } from '../model/config';
import { fromHuggingFace, POSITION_ENCODING } from '../model/decoder/names';
import type { EncoderNaming } from '../model/encoder';
import { FAMILIES } from '../model/families';
import { TimeSlice } from '../time-slice';
import { type Checkpoint, openCheckpoint, type TensorInfo } from './checkpoint';
import { checkpointError } from './file';

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
  /** All other names in the file: optimizer state, other models, extra layers. */
  readonly ignored: readonly string[];
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
 * @throws SamError as {@link openCheckpoint} and {@link findModel} do
 */
export async function openSamCheckpoint(path: string): Promise<SamCheckpoint> {
  const checkpoint = await openCheckpoint(path);
  try {
    return await findModel(checkpoint);
  } catch (error) {
    await checkpoint.close().catch(() => {});
    throw error;
  }
}

/**
 * The model in a checkpoint, under official names. It is found by the anchor of its image encoder: what stands before that
 * key is the prefix, so any depth of wrapping works.
 *
 * @throws SamError ERR_CHECKPOINT when the file holds no SAM image encoder, two of them that nothing tells apart, a model
 *   that is not supported, such as MobileSAM, or one with a tensor missing or of a wrong shape or dtype
 */
export async function findModel(checkpoint: Checkpoint): Promise<SamCheckpoint> {
  const { path } = checkpoint;
  const candidate = chooseModel(checkpoint);
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
      throw checkpointError(
        path,
        `${JSON.stringify(other)} and ${JSON.stringify(name)} both stand for ${mapped}`,
      );
    }
    named.set(mapped, info);
  }

  const sourceName = (name: string) => named.get(name)?.name;
  const config = inferConfig({ path, tensors: named, sourceName });
  const needed = new Set(modelTensors(config).map(({ name }) => name));
  const tensors = new Map<string, TensorInfo>();
  const ignored: string[] = [];
  for (const name of checkpoint.tensors.keys()) {
    if (slice.due()) await slice.next();
    const mapped = officialName(name, candidate);
    if (mapped === undefined || !needed.has(mapped)) ignored.push(name);
    else tensors.set(mapped, { ...named.get(mapped)!, name: mapped });
  }
  return {
    path,
    source: checkpoint,
    naming,
    prefix: root,
    config,
    tensors,
    ignored,
    sourceName,
    async read(name) {
      const source = tensors.has(name) ? sourceName(name) : undefined;
      if (source === undefined) throw invalidArgument('name', `a tensor of ${path}`, name);
      return checkpoint.read(source);
    },
    close: () => checkpoint.close(),
  };
}

const NAMINGS = ['official', 'huggingface'] as const;
const ENCODERS = { official: 'image_encoder.', huggingface: 'vision_encoder.' } as const;
const SECTIONS = ['image_encoder.', 'prompt_encoder.', 'mask_decoder.'];
/** Far above any name of a tensor. */
const MAX_NAME = 120;

/** Wrappers that training code puts around a model. They decide only when a file holds several models. */
const WRAPPERS = new Set([
  ...['state_dict', 'model_state_dict', 'model', 'module', '_orig_mod', 'sam', 'net', 'network', 'params'],
  ...['weights', 'checkpoint', 'student', 'sam_model', 'model_state', 'models'],
]);

const MAX_MODELS = 100;

interface Candidate {
  readonly naming: (typeof NAMINGS)[number];
  readonly rename?: EncoderNaming['rename'];
  /** What stands before `image_encoder.`, or before the encoder's own keys. */
  readonly root: string;
  /** False for an encoder-only file whose keys start with `patch_embed.` */
  readonly encoder: boolean;
}

function chooseModel(checkpoint: Checkpoint): Candidate {
  const namings = Object.values(FAMILIES).flatMap((family) =>
    NAMINGS.map((naming) => ({ naming, ...family.namings[naming] })),
  );
  const candidates: Candidate[] = [];
  for (const name of checkpoint.tensors.keys()) {
    for (const { naming, anchor, rename } of namings) {
      if (anchor === undefined || (name !== anchor && !name.endsWith(`.${anchor}`))) continue;
      const before = name.slice(0, name.length - anchor.length);
      const section = ENCODERS[naming];
      const encoder = before === section || before.endsWith(`.${section}`);
      if (!(candidates.length < MAX_MODELS)) {
        throw checkpointError(checkpoint.path, `holds more than ${MAX_MODELS} image encoders`);
      }
      const root = encoder ? before.slice(0, -section.length) : before;
      candidates.push({ naming, rename, root, encoder });
    }
  }
  if (candidates.length === 0) throw noModel(checkpoint);
  // A whole SAM before a bare encoder, usual wrappers before others (an EMA copy, a teacher), then the least wrapped.
  const ranked = candidates
    .map((candidate) => ({ candidate, rank: rank(candidate) }))
    .sort((a, b) => a.rank[0] - b.rank[0] || a.rank[1] - b.rank[1] || a.rank[2] - b.rank[2]);
  const [first, second] = ranked;
  if (second && first!.rank.every((value, i) => value === second.rank[i])) {
    throw checkpointError(
      checkpoint.path,
      `holds several models and nothing says which is meant: ${JSON.stringify(first!.candidate.root)} and ` +
        JSON.stringify(second.candidate.root),
    );
  }
  return first!.candidate;
}

function rank({ root, encoder }: Candidate): readonly [number, number, number] {
  const parts = root.split('.').filter((part) => part !== '');
  const unusual = parts.filter((part) => !WRAPPERS.has(part)).length;
  return [encoder ? 0 : 1, unusual, parts.length];
}

function noModel(checkpoint: Checkpoint) {
  const names = [...checkpoint.tensors.keys()];
  const has = (pattern: RegExp) => names.some((name) => pattern.test(name));
  const error = (message: string) => checkpointError(checkpoint.path, message);
  if (has(/(^|\.)patch_embed\.seq\.0\.c\.weight$/)) {
    return error('is a MobileSAM checkpoint (TinyViT image encoder), which is not supported yet');
  }
  if (has(/(^|\.)(image_encoder\.trunk|vision_encoder\.backbone|sam_mask_decoder)\./)) {
    return error('is a SAM 2 checkpoint, which is not supported');
  }
  if (names.length === 0) return error('holds no tensors');
  const some = names.slice(0, 3).map((name) => JSON.stringify(name.slice(0, 100)));
  return error(
    `holds no SAM image encoder: expected image_encoder.${FAMILIES.vit.namings.official.anchor} but found ${names.length} other ` +
      `tensor${names.length === 1 ? '' : 's'} such as ${some.join(', ')}`,
  );
}

/** What a tensor of the file would be called in SAM's repository; undefined for what is none of the model's. */
function officialName(name: string, { naming, rename, root, encoder }: Candidate): string | undefined {
  if (!name.startsWith(root)) return undefined;
  const section = ENCODERS[naming];
  // An encoder-only file leaves out the section's name.
  let key = (encoder ? '' : section) + name.slice(root.length);
  // The test keeps hostile names away from the expressions.
  if (key.length > MAX_NAME) return undefined;
  if (key.startsWith(section)) key = rename?.(key) ?? key;
  else if (naming === 'huggingface') key = fromHuggingFace(key);
  return SECTIONS.some((start) => key.startsWith(start)) ? key : undefined;
}
