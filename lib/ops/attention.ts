// attention: SAM's, with BA-SAM's scale and distance penalty, fused; every block of a model is one node of it.
import { invalidArgument } from '../errors';
import type { Value } from '../graph/graph';
import { append, checkOperands, expect } from './append';
import type { Metric } from './attributes';
import { cast } from './cast';

export interface AttentionOptions {
  /** H. */
  heads: number;
  /** Multiplies q·k only, never a bias. */
  scale: number;
  /** Window side in tokens; 0 (default) = global. */
  window?: number;
  /** [2·Gh − 1, D] and [2·Gw − 1, D]; [2·window − 1, D] both in windows. f32. */
  relPosH?: Value;
  relPosW?: Value;
  /**
   * [3·H·D]: q, k and v of a pad token, of any float dtype. Tokens of border windows that lie outside of the grid are real
   * keys made of it; in a ViT it is the bias of the projection that made qkv. Default: zeros.
   */
  pad?: Value;
  /** Distance penalty; global attention only. */
  metric?: Metric;
  /** One slope ≥ 0 per head. */
  slopes?: readonly number[];
  /** Distance in tokens per axis that costs nothing. */
  start?: number;
}

/**
 * softmax(scale · q kᵀ + relative positions − distance penalty) · v per head: q [B, …, H·D], k and v [B, …, H·D] → as q. A
 * batch of 1 on one side serves every item of the other. Windows, relative positions and distances need a grid: q, k and v
 * [B, Gh, Gw, H·D].
 * Source: Kirillov et al. 2023; Song et al. 2024, section 3; the logits are in docs/ops.md.
 */
export function attention(q: Value, k: Value, v: Value, options: AttentionOptions): Value {
  checkOperands('attention', { q, k, v }, { options });
  const shape = [Math.max(q.shape[0], k.shape[0]), ...q.shape.slice(1)];
  const { inputs, attributes } = operands(q, k, v, options);
  return append('attention', inputs, attributes, shape, q.dtype);
}

/** The same on a fused projection: qkv [B, Gh, Gw, 3·H·D] → [B, Gh, Gw, H·D]. Nothing is copied. */
export function gridAttention(qkv: Value, options: AttentionOptions): Value {
  const shape = fusedShape(qkv, options);
  const { inputs, attributes } = operands(qkv, undefined, undefined, options);
  return append('attention', inputs, attributes, shape, qkv.dtype);
}

/** {@link gridAttention} with what a backward pass needs: ln Σ exp(logit) of every query, [B, H, Gh·Gw] f32. */
export function gridAttentionWithLogSumExp(
  qkv: Value,
  options: AttentionOptions,
): { y: Value; logSumExp: Value } {
  const shape = fusedShape(qkv, options);
  const [batch, h, w] = shape;
  const { inputs, attributes } = operands(qkv, undefined, undefined, options);
  const [y, logSumExp] = qkv.graph.node('attention', inputs, attributes, [
    { shape, dtype: qkv.dtype },
    { shape: [batch, options.heads, h * w], dtype: 'f32' },
  ]);
  return { y: y!, logSumExp: logSumExp! };
}

/** [B, Gh, Gw, H·D] of qkv [B, Gh, Gw, 3·H·D]. */
function fusedShape(qkv: Value, options: AttentionOptions) {
  checkOperands('attention', { qkv }, { options });
  const { heads } = options;
  if (!Number.isSafeInteger(heads)) throw invalidArgument('attention: heads', 'integer', heads);
  const [batch, h, w, channels] = qkv.shape;
  const fits = qkv.shape.length === 4 && channels % (3 * heads) === 0;
  expect('attention', fits, `qkv [B, Gh, Gw, 3·H·D] with ${heads} heads`);
  return [batch, h, w, channels / 3];
}

function operands(q: Value, k: Value | undefined, v: Value | undefined, options: AttentionOptions) {
  const { heads, scale, window, relPosH, relPosW, pad, metric = 'none', slopes = [], start } = options;
  expect(
    'attention',
    metric === 'none' || (Array.isArray(slopes) && slopes.length === heads),
    `${heads} slopes`,
  );
  const inputs = [q, k, v, relPosH, relPosW, pad && cast(pad, q.dtype)];
  const penalty = metric === 'none' ? {} : { metric, slopes, start };
  return { inputs, attributes: { heads, scale, window, ...penalty } };
}
