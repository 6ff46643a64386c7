// Which model of a checkpoint is meant, and what its tensors would be called in SAM's repository: training wrappers, module
// prefixes, encoder-only files and Hugging Face's SamModel.
import { describe, type SamError } from '../errors';
import { fromHuggingFace } from '../model/decoder/names';
import type { EncoderNaming } from '../model/encoder';
import { FAMILIES } from '../model/families';
import { TimeSlice } from '../time-slice';
import type { Checkpoint } from './checkpoint';
import { checkpointError } from './file';

const NAMINGS = ['official', 'huggingface'] as const;
/** What a model's parts are called: the image encoder first. */
const PARTS = {
  official: ['image_encoder', 'prompt_encoder', 'mask_decoder'],
  huggingface: ['vision_encoder', 'prompt_encoder', 'mask_decoder', 'shared_image_embedding'],
} as const;
/** Far above any name of a tensor. */
const MAX_NAME = 120;
const MAX_MODELS = 100;

/** Wrappers that training code puts around a model. They decide only when a file holds several models. */
const WRAPPERS = new Set([
  ...['state_dict', 'model_state_dict', 'model', 'module', '_orig_mod', 'sam', 'net', 'network', 'params'],
  ...['weights', 'checkpoint', 'student', 'sam_model', 'model_state', 'models'],
]);

/**
 * What DataParallel, torch.compile, FSDP and activation checkpointing put into the names of what they wrap, which may be a part
 * of a model or a single layer. SAM has no module of these names.
 */
const INNER = new Set(['module', '_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module']);
const HAS_INNER = new RegExp(`(^|\\.)(${[...INNER].join('|')})\\.`);

/** A model in a file. */
export interface Candidate {
  readonly naming: (typeof NAMINGS)[number];
  readonly rename?: EncoderNaming['rename'];
  /** What stands before the name of the image encoder, or before the encoder's own keys. */
  readonly root: string;
  /** False for an encoder-only file whose keys start with `patch_embed.` */
  readonly encoder: boolean;
}

/**
 * The model that is meant. It is found by the anchor of its image encoder: what stands before that key is the prefix, so any
 * depth of wrapping works.
 *
 * @returns undefined where there is none
 * @throws SamError ERR_CHECKPOINT for several that nothing tells apart
 */
export async function chooseModel(checkpoint: Checkpoint): Promise<Candidate | undefined> {
  const candidates = new Map<string, Candidate>();
  const slice = new TimeSlice();
  for (const name of checkpoint.tensors.keys()) {
    if (slice.due()) await slice.next();
    for (const family of Object.values(FAMILIES)) {
      for (const naming of NAMINGS) {
        const { anchor, rename } = family.namings[naming] ?? {};
        const place = anchor === undefined ? undefined : placeOf(name, anchor, PARTS[naming][0]);
        if (!place) continue;
        candidates.set(`${naming} ${place.encoder} ${place.root}`, { naming, rename, ...place });
        if (!(candidates.size <= MAX_MODELS)) {
          throw checkpointError(checkpoint.path, `holds more than ${MAX_MODELS} image encoders`);
        }
      }
    }
  }
  // A whole SAM before a bare encoder, usual wrappers before others (an EMA copy, a teacher), then the least wrapped.
  const [first, second] = [...candidates.values()]
    .map((candidate) => ({ candidate, rank: rank(candidate) }))
    .sort((a, b) => a.rank[0] - b.rank[0] || a.rank[1] - b.rank[1] || a.rank[2] - b.rank[2]);
  if (first && second && first.rank.every((value, i) => value === second.rank[i])) {
    throw severalModels(checkpoint, first.candidate, second.candidate);
  }
  return first?.candidate;
}

function severalModels({ path }: Checkpoint, a: Candidate, b: Candidate): SamError {
  return checkpointError(
    path,
    `holds several models and nothing says which is meant: ${describe(a.root)} and ${describe(b.root)}`,
  );
}

/** Where the encoder is whose anchor this name is; what wraps single layers of it is passed over. */
function placeOf(
  name: string,
  anchor: string,
  part: string,
): Pick<Candidate, 'root' | 'encoder'> | undefined {
  // Most names end here, before they are taken apart.
  if (!name.endsWith(anchor.slice(anchor.lastIndexOf('.') + 1))) return undefined;
  const steps = name.split('.');
  let at = steps.length;
  const before = () => {
    do at--;
    while (INNER.has(steps[at]!));
    return steps[at];
  };
  for (const step of anchor.split('.').reverse()) if (before() !== step) return undefined;
  const start = at;
  const encoder = before() === part;
  const wrapping = steps.slice(0, encoder ? at : start);
  return { root: wrapping.map((step) => `${step}.`).join(''), encoder };
}

function rank({ root, encoder }: Candidate): readonly [number, number, number] {
  const steps = root.split('.').filter((step) => step !== '');
  const unusual = steps.filter((step) => !WRAPPERS.has(step)).length;
  return [encoder ? 0 : 1, unusual, steps.length];
}

/** A tensor's name from its part on, as the file's naming has it and without wrappers; undefined for what is none of the model's. */
function keyOf(name: string, { naming, root, encoder }: Candidate): string | undefined {
  if (!name.startsWith(root)) return undefined;
  let key = name.slice(root.length);
  if (HAS_INNER.test(key)) {
    key = key
      .split('.')
      .filter((step) => !INNER.has(step))
      .join('.');
  }
  // An encoder-only file leaves out the part's name.
  if (!encoder) key = `${PARTS[naming][0]}.${key}`;
  return PARTS[naming].some((part) => key.startsWith(`${part}.`)) ? key : undefined;
}

/** What a tensor of the file would be called in SAM's repository; undefined for what is none of the model's. */
export function officialName(name: string, candidate: Candidate): string | undefined {
  const { naming, rename } = candidate;
  const key = keyOf(name, candidate);
  // The test keeps hostile names away from the expressions.
  if (key === undefined || key.length > MAX_NAME) return undefined;
  if (key.startsWith(PARTS[naming][0])) return rename?.(key) ?? key;
  const official = naming === 'huggingface' ? fromHuggingFace(key) : key;
  return PARTS.official.some((part) => official.startsWith(`${part}.`)) ? official : undefined;
}

/**
 * Whether a name belongs to the model's parts. In an encoder-only file, which may keep anything beside the encoder, that is what
 * begins like the encoder's own names: `blocks.`, `neck.`, …
 *
 * @param used names of tensors that the model uses
 */
export function isPartOf(candidate: Candidate, used: Iterable<string>): (name: string) => boolean {
  const begin = (name: string) => keyOf(name, candidate)?.split('.', 2)[1];
  if (candidate.encoder) return (name) => begin(name) !== undefined;
  const own = new Set([...used].map(begin));
  return (name) => own.has(begin(name)) && begin(name) !== undefined;
}
