// Shows a checkpoint under the official SAM key names, whatever wrapped or renamed them: training wrappers,
// module prefixes, encoder-only files and Hugging Face's SamModel.
import { invalidArgument } from '../errors';
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
  /** By official name; each info carries the official name. Shapes are the file's: see `inferConfig`. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Names in the file that belong to nothing known: optimizer state, other models, extra layers. */
  readonly ignored: readonly string[];
  /** The name that an official name has in the file, for error messages. */
  sourceName(name: string): string | undefined;
  /** Reads a tensor by its official name; see {@link Checkpoint.read}. */
  read(name: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Closes the file. Safe to call again. */
  close(): Promise<void>;
}

/**
 * Opens a checkpoint and maps its keys to the official names.
 *
 * @throws SamError as {@link openCheckpoint} and {@link mapKeys} do
 */
export async function openSamCheckpoint(path: string): Promise<SamCheckpoint> {
  const checkpoint = await openCheckpoint(path);
  try {
    return await mapKeys(checkpoint);
  } catch (error) {
    await checkpoint.close().catch(() => {});
    throw error;
  }
}

/**
 * A renamed view of a checkpoint; nothing is read. The model is found by its patch embedding: what stands
 * before that key is the prefix, so any depth of wrapping works.
 *
 * @throws SamError ERR_CHECKPOINT when the file holds no SAM image encoder, two of them that nothing tells
 *   apart, or a model that is not supported, such as MobileSAM
 */
export async function mapKeys(checkpoint: Checkpoint): Promise<SamCheckpoint> {
  const { naming, root, encoder } = chooseModel(checkpoint);
  const rename = naming === 'official' ? officialName : officialFromHuggingFace;
  const tensors = new Map<string, TensorInfo>();
  const sources = new Map<string, string>();
  const ignored: string[] = [];
  const slice = new TimeSlice();
  for (const [name, info] of checkpoint.tensors) {
    if (slice.due()) await slice.next();
    let mapped: string | undefined;
    if (name.startsWith(root)) mapped = rename(withEncoder(name.slice(root.length), naming, encoder));
    if (mapped === undefined) {
      ignored.push(name);
      continue;
    }
    const other = sources.get(mapped);
    if (other !== undefined) {
      // Hugging Face ties two names to the one position encoding; any other double is a contradiction.
      if (mapped === PE && naming === 'huggingface') continue;
      throw checkpointError(
        checkpoint.path,
        `${JSON.stringify(other)} and ${JSON.stringify(name)} both stand for ${mapped}`,
      );
    }
    sources.set(mapped, name);
    tensors.set(mapped, { ...info, name: mapped });
  }
  return {
    path: checkpoint.path,
    source: checkpoint,
    naming,
    prefix: root,
    tensors,
    ignored,
    sourceName: (name) => sources.get(name),
    async read(name) {
      const source = sources.get(name);
      if (source === undefined) throw invalidArgument('name', `a tensor of ${checkpoint.path}`, name);
      return checkpoint.read(source);
    },
    close: () => checkpoint.close(),
  };
}

/** Both start with the patch embedding; nothing else in a checkpoint ends like it. */
const ANCHORS = {
  official: 'patch_embed.proj.weight',
  huggingface: 'patch_embed.projection.weight',
} as const;
const ENCODERS = { official: 'image_encoder.', huggingface: 'vision_encoder.' } as const;

/** Wrappers that training code puts around a model. They decide only when a file holds several models. */
const WRAPPERS = new Set([
  ...['state_dict', 'model_state_dict', 'model', 'module', '_orig_mod', 'sam', 'net', 'network', 'params'],
  ...['weights', 'checkpoint', 'student', 'sam_model', 'model_state', 'models'],
]);

const MAX_MODELS = 100;

interface Candidate {
  readonly naming: 'official' | 'huggingface';
  /** What stands before `image_encoder.`, or before the encoder's own keys. */
  readonly root: string;
  /** False for an encoder-only file whose keys start with `patch_embed.` */
  readonly encoder: boolean;
}

function chooseModel(checkpoint: Checkpoint): Candidate {
  const candidates: Candidate[] = [];
  for (const name of checkpoint.tensors.keys()) {
    for (const naming of ['official', 'huggingface'] as const) {
      const anchor = ANCHORS[naming];
      if (name !== anchor && !name.endsWith(`.${anchor}`)) continue;
      const before = name.slice(0, name.length - anchor.length);
      const section = ENCODERS[naming];
      const encoder = before === section || before.endsWith(`.${section}`);
      if (!(candidates.length < MAX_MODELS)) {
        throw checkpointError(checkpoint.path, `holds more than ${MAX_MODELS} image encoders`);
      }
      candidates.push({ naming, root: encoder ? before.slice(0, -section.length) : before, encoder });
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
    `holds no SAM image encoder: expected image_encoder.${ANCHORS.official} but found ${names.length} other ` +
      `tensor${names.length === 1 ? '' : 's'} such as ${some.join(', ')}`,
  );
}

/** An encoder-only file leaves out the section's name. */
function withEncoder(name: string, naming: Candidate['naming'], encoder: boolean): string {
  return encoder ? name : ENCODERS[naming] + name;
}

const PE = 'prompt_encoder.pe_layer.positional_encoding_gaussian_matrix';
const WB = '(weight|bias)';
/** At most four digits: a depth is checked against 1000 later. */
const N = '(0|[1-9]\\d{0,3})';
const ATTENTION = `(q|k|v|out)_proj\\.${WB}`;
const OFFICIAL = [
  'image_encoder\\.pos_embed',
  `image_encoder\\.patch_embed\\.proj\\.${WB}`,
  `image_encoder\\.blocks\\.${N}\\.(norm[12]|attn\\.qkv|attn\\.proj|mlp\\.lin[12])\\.${WB}`,
  `image_encoder\\.blocks\\.${N}\\.attn\\.(rel_pos_[hw]|coefficient)`,
  `image_encoder\\.neck\\.([02]\\.weight|[13]\\.${WB})`,
  'prompt_encoder\\.pe_layer\\.positional_encoding_gaussian_matrix',
  'prompt_encoder\\.(point_embeddings\\.[0-3]|not_a_point_embed|no_mask_embed)\\.weight',
  `prompt_encoder\\.mask_downscaling\\.[01346]\\.${WB}`,
  'mask_decoder\\.(iou_token|mask_tokens)\\.weight',
  `mask_decoder\\.transformer\\.layers\\.${N}\\.(self_attn|cross_attn_(token_to_image|image_to_token))\\.${ATTENTION}`,
  `mask_decoder\\.transformer\\.layers\\.${N}\\.(norm[1-4]|mlp\\.lin[12])\\.${WB}`,
  `mask_decoder\\.transformer\\.(final_attn_token_to_image\\.${ATTENTION}|norm_final_attn\\.${WB})`,
  `mask_decoder\\.output_upscaling\\.[013]\\.${WB}`,
  `mask_decoder\\.(output_hypernetworks_mlps\\.${N}|iou_prediction_head)\\.layers\\.${N}\\.${WB}`,
];
const OFFICIAL_NAME = new RegExp(`^(${OFFICIAL.join('|')})$`);

/** `name` if it is an official SAM key (BA-SAM's `attn.coefficient` included), else undefined. */
function officialName(name: string): string | undefined {
  // The longest official key has 80 characters; the test keeps hostile names away from the expression.
  return name.length <= 120 && OFFICIAL_NAME.test(name) ? name : undefined;
}

/** Renamings from Hugging Face's SamModel, applied in this order; each changes its own part of a key. */
const FROM_HUGGING_FACE: readonly (readonly [RegExp, string])[] = [
  [/^(shared_image_embedding|prompt_encoder\.shared_embedding)\.positional_embedding$/, PE],
  [/^vision_encoder\.neck\.conv1\./, 'image_encoder.neck.0.'],
  [/^vision_encoder\.neck\.layer_norm1\./, 'image_encoder.neck.1.'],
  [/^vision_encoder\.neck\.conv2\./, 'image_encoder.neck.2.'],
  [/^vision_encoder\.neck\.layer_norm2\./, 'image_encoder.neck.3.'],
  [/^vision_encoder\.layers\./, 'image_encoder.blocks.'],
  [/^vision_encoder\.patch_embed\.projection\./, 'image_encoder.patch_embed.proj.'],
  [/^vision_encoder\.pos_embed$/, 'image_encoder.pos_embed'],
  [/^(image_encoder\.blocks\.\d+\.)layer_norm([12])\./, '$1norm$2.'],
  [/^prompt_encoder\.point_embed\./, 'prompt_encoder.point_embeddings.'],
  [/^prompt_encoder\.mask_embed\.conv1\./, 'prompt_encoder.mask_downscaling.0.'],
  [/^prompt_encoder\.mask_embed\.layer_norm1\./, 'prompt_encoder.mask_downscaling.1.'],
  [/^prompt_encoder\.mask_embed\.conv2\./, 'prompt_encoder.mask_downscaling.3.'],
  [/^prompt_encoder\.mask_embed\.layer_norm2\./, 'prompt_encoder.mask_downscaling.4.'],
  [/^prompt_encoder\.mask_embed\.conv3\./, 'prompt_encoder.mask_downscaling.6.'],
  [/^(mask_decoder\.transformer\.layers\.\d+\.)layer_norm([1-4])\./, '$1norm$2.'],
  [/^mask_decoder\.transformer\.layer_norm_final_attn\./, 'mask_decoder.transformer.norm_final_attn.'],
  [/^mask_decoder\.upscale_conv1\./, 'mask_decoder.output_upscaling.0.'],
  [/^mask_decoder\.upscale_layer_norm\./, 'mask_decoder.output_upscaling.1.'],
  [/^mask_decoder\.upscale_conv2\./, 'mask_decoder.output_upscaling.3.'],
];
/** An MLP's first layer is called proj_in, its last proj_out, and those between are counted from 0. */
const MLP =
  /^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head)\.)(proj_in|proj_out|layers\.\d+)\./;

function officialFromHuggingFace(name: string): string | undefined {
  if (name.length > 120) return undefined;
  const mlp = MLP.exec(name);
  if (mlp) {
    // SAM's MLPs have three layers. One of another depth would put two tensors on layers.2, which mapKeys refuses.
    const layer =
      mlp[2] === 'proj_in' ? 0 : mlp[2] === 'proj_out' ? 2 : 1 + Number(mlp[2]!.slice('layers.'.length));
    return officialName(`${mlp[1]}layers.${layer}.${name.slice(mlp[0].length)}`);
  }
  let renamed = name;
  for (const [pattern, replacement] of FROM_HUGGING_FACE) renamed = renamed.replace(pattern, replacement);
  return officialName(renamed);
}
