// layerNorm: normalisation over the channels.
import type { DType, Value } from '../graph/graph';
import { append, checkOperands } from './append';
import type { Activation } from './attributes';

export interface LayerNormOptions {
  eps: number;
  activation?: Activation;
  /** Of the output; default that of x. */
  dtype?: DType;
}

/** (x − mean) · rstd · weight + bias over the last axis, rstd = 1 / √(var + eps), then the activation: as x. */
export function layerNorm(x: Value, weight: Value, bias: Value, options: LayerNormOptions): Value {
  checkOperands('layerNorm', { x }, { options });
  const { eps, activation, dtype = x.dtype } = options;
  return append('layerNorm', [x, weight, bias], { eps, activation }, x.shape, dtype);
}

/** The same with what a backward pass needs: mean and rstd of every row, [..., 1] f32. */
export function layerNormWithStatistics(
  x: Value,
  weight: Value,
  bias: Value,
  options: LayerNormOptions,
): { y: Value; mean: Value; rstd: Value } {
  checkOperands('layerNorm', { x }, { options });
  const { eps, activation, dtype = x.dtype } = options;
  const row = { shape: [...x.shape.slice(0, -1), 1], dtype: 'f32' } as const;
  const outputs = [{ shape: x.shape, dtype }, row, row];
  const [y, mean, rstd] = x.graph.node('layerNorm', [x, weight, bias], { eps, activation }, outputs);
  return { y: y!, mean: mean!, rstd: rstd! };
}
