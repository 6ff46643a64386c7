// transpose: channels first or last.
import type { Value } from '../graph/graph';
import { append, checkOperands, last } from './append';
import type { ChannelOrder } from './attributes';

/** [B, …, C] → [B, C, …] (`to: 'channelsFirst'`) or back. */
export function transpose(x: Value, to: ChannelOrder): Value {
  checkOperands('transpose', { x });
  const [batch, ...rest] = x.shape;
  const shape =
    to === 'channelsFirst' ? [batch, last(x), ...rest.slice(0, -1)] : [batch, ...rest.slice(1), rest[0]];
  return append('transpose', [x], { to }, shape, x.dtype);
}
