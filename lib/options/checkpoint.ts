// How a checkpoint is read where the file does not say, or says more than is understood.
import { z } from 'zod';
import { type OptionsOf, spelled } from './option';
import { unchanged } from './validate';

/** Of a ViT; more are refused as a model anyway. */
const MAX_BLOCKS = 1000;

export const checkpointShape = {
  /**
   * Load a checkpoint although it has tensors in its image encoder, prompt encoder or mask decoder that the model does not use:
   * adapters, LoRA that is not merged. They are left out, and the masks may be others than those it was made for. Default false:
   * such a checkpoint is refused.
   */
  ignoreUnknownTensors: spelled(
    z.boolean(),
    '--ignore-unknown',
    "load a checkpoint without those of the model's tensors that are not understood",
  ).default(false),
  /**
   * Indices of the image encoder's blocks that attend over all tokens. Only for a model whose window is as large as the grid it
   * was trained on, where no tensor tells; without it, such a model has SAM's: the last block of every quarter.
   */
  globalBlocks: spelled(
    unchanged(
      z
        .array(
          z
            .int()
            .min(0)
            .max(MAX_BLOCKS - 1),
        )
        .max(MAX_BLOCKS)
        .refine((list) => new Set(list).size === list.length, { error: 'Expected no block twice' }),
    ),
    '--global-blocks <list>',
    "the image encoder's blocks with global attention, where no tensor tells: X,X,…",
  ).optional(),
};

export const checkpointSchema = z.strictObject(checkpointShape);

/** How a checkpoint is read. */
export interface CheckpointOptions extends OptionsOf<typeof checkpointShape> {}

/** These options out of all that a command or an evaluation has. */
export function checkpointOf({ ignoreUnknownTensors, globalBlocks }: CheckpointOptions): CheckpointOptions {
  return { ignoreUnknownTensors, globalBlocks };
}
