// Models that are not SAM but look like it from afar, and SAMs that are something more: each is recognised by several names of
// tensors, so that an error can say what the file is instead of which tensor it misses.
import { TimeSlice } from '../time-slice';

interface Relative {
  /** Completes "is …". */
  readonly what: string;
  /** A file is one of these when every pattern of any line fits one of its names. */
  readonly keys: readonly (readonly RegExp[])[];
}

/** Other models: nothing of them is of use here. */
const OTHERS: readonly Relative[] = [
  {
    what: 'a MobileSAM checkpoint (TinyViT image encoder), which is not supported yet',
    keys: [[/(^|\.)patch_embed\.seq\.0\.c\.weight$/, /(^|\.)layers\.0\.blocks\.0\.conv1\.c\.weight$/]],
  },
  {
    what: 'an EdgeSAM or RepViT-SAM checkpoint (RepViT image encoder), which is not supported',
    keys: [[/(^|\.)features\.\d+\.token_mixer\./, /(^|\.)features\.\d+\.channel_mixer\./]],
  },
  {
    what: 'an EfficientViT-SAM checkpoint, which is not supported',
    keys: [[/(^|\.)backbone\.input_stem\.op_list\./, /(^|\.)neck\.(input_ops|middle|output_ops)\./]],
  },
  {
    what: "timm's samvit, SAM's image encoder under other names, which is not supported: load SAM's own checkpoint",
    keys: [[/(^|\.)blocks\.0\.mlp\.fc1\.weight$/, /(^|\.)blocks\.0\.attn\.rel_pos_h$/]],
  },
  {
    what: 'an EfficientSAM checkpoint, which is not supported',
    keys: [
      [
        /(^|\.)image_encoder\.blocks\.0\.mlp\.fc1\.weight$/,
        /(^|\.)mask_decoder\.output_hypernetworks_mlps\.0\.fc\.weight$/,
      ],
      [/(^|\.)blocks\.0\.mlp\.fc1\.weight$/, /(^|\.)blocks\.0\.attn\.qkv\.weight$/, /(^|\.)neck\.0\.weight$/],
    ],
  },
  {
    what: 'a SAM 3 checkpoint, which is not supported',
    keys: [
      [
        /(^|\.)backbone\.vision_backbone\.trunk\./,
        /(^|\.)backbone\.(language_backbone|vision_backbone\.convs)\./,
      ],
      [
        /(^|\.)vision_encoder\.backbone\.embeddings\.patch_embeddings\./,
        /(^|\.)vision_encoder\.neck\.fpn_layers\./,
      ],
    ],
  },
  {
    what: 'a SAM 2 checkpoint, which is not supported',
    keys: [
      [
        /(^|\.)image_encoder\.trunk\./,
        /(^|\.)(sam_mask_decoder|memory_attention|image_encoder\.neck\.convs)\./,
      ],
      [
        /(^|\.)vision_encoder\.backbone\.(patch_embed|blocks)\./,
        /(^|\.)(mask_decoder\.iou_token|mask_decoder\.conv_s0|vision_encoder\.neck\.convs|memory_encoder)\./,
      ],
      [/(^|\.)trunk\.patch_embed\.proj\.weight$/, /(^|\.)trunk\.blocks\.0\.mlp\.layers\.0\.weight$/],
    ],
  },
  {
    what: 'a FastSAM or YOLO segmentation checkpoint, which is no SAM',
    keys: [[/(^|\.)model\.0\.conv\.weight$/, /(^|\.)model\.\d+\.proto\.cv1\.conv\.weight$/]],
  },
];

/** SAM with more in it. What is left of the sentence follows. */
const EXTENSIONS: readonly Relative[] = [
  {
    what: 'a SAM with LoRA layers that are not merged: merge them into the weights and save it again',
    keys: [
      [/(^|[._])lora_A(\.|$)/, /(^|[._])lora_B(\.|$)/],
      [/\.linear_a_[qkv]\./, /\.linear_b_[qkv]\./],
      [/(^|\.)w_a_\d+$/, /(^|\.)w_b_\d+$/],
    ],
  },
  {
    what: 'a SAM with adapters, which are not supported',
    keys: [
      [/(^|\.)image_encoder\.blocks\.\d+\.(\w+_)?adapter\w*\./i, /(^|\.)image_encoder\.patch_embed\./],
      [/(^|\.)image_encoder\.prompt_generator\./, /(^|\.)image_encoder\.patch_embed\./],
    ],
  },
];

/** What a file that is no SAM is instead, by the names of its tensors: completes "is …". */
export const otherModel = (names: Iterable<string>) => find(OTHERS, names);

/** What a file is that holds a SAM and something more: completes "is …". */
export const extendedModel = (names: Iterable<string>) => find(EXTENSIONS, names);

async function find(relatives: readonly Relative[], names: Iterable<string>): Promise<string | undefined> {
  const open = relatives.flatMap(({ what, keys }) => keys.map((all) => ({ what, missing: [...all] })));
  const slice = new TimeSlice();
  for (const name of names) {
    for (const one of open) one.missing = one.missing.filter((pattern) => !pattern.test(name));
    if (slice.due()) await slice.next();
  }
  return open.find(({ missing }) => missing.length === 0)?.what;
}
