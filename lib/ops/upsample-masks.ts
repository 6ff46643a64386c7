// upsampleMasks: low-resolution logits to masks or logits of a photograph.
import type { Value } from '../graph/graph';
import { append, checkOperands } from './append';

/**
 * Low-resolution logits [P, M, 4Gh, 4Gw] → bilinear to the encoder's input → without its padding → bilinear to the
 * photograph [P, M, H, W]: u8 masks (logit > 0) or f32 logits.
 */
export function upsampleMasks(
  lowRes: Value,
  sizes: {
    input: { width: number; height: number };
    content: { width: number; height: number };
    out: { width: number; height: number };
  },
  dtype: 'u8' | 'f32' = 'u8',
): Value {
  checkOperands('upsampleMasks', { lowRes }, { sizes });
  const { input, content, out } = sizes;
  checkOperands('upsampleMasks', {}, { input, content, out });
  const attributes = {
    input: [input.width, input.height],
    content: [content.width, content.height],
  } as const;
  const shape = [lowRes.shape[0], lowRes.shape[1], out.height, out.width];
  return append('upsampleMasks', [lowRes], attributes, shape, dtype);
}
