// One call of attention() with every bias of global attention, and its result from a loop.
import type { AttentionOptions } from '../../lib/index';

export interface BareAttentionCase {
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
  options: AttentionOptions &
    Required<Pick<AttentionOptions, 'grid' | 'relPosH' | 'relPosW' | 'scale' | 'distance'>>;
}

function numbers(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(0.7 * i * (1 + (i % 7)) + seed));
}

/** A grid of 5 × 7 tokens, 2 heads of 16. */
export function bareAttentionCase(): BareAttentionCase {
  const [h, w, heads, headDim] = [5, 7, 2, 16];
  const count = h * w * heads * headDim;
  return {
    q: numbers(count, 1),
    k: numbers(count, 2),
    v: numbers(count, 3),
    options: {
      ...{ heads, headDim, grid: { h, w }, scale: 0.3 },
      relPosH: numbers((2 * h - 1) * headDim, 4).map((x) => x / 4),
      relPosW: numbers((2 * w - 1) * headDim, 5).map((x) => x / 4),
      distance: { metric: 'manhattan', slopes: Float32Array.of(0.1, 0.4), start: 1 },
    },
  };
}

/** The result in float64. */
export function bareAttention({ q, k, v, options }: BareAttentionCase): Float64Array {
  const { heads, headDim, grid, scale, relPosH, relPosW, distance } = options;
  const tokens = grid.h * grid.w;
  const slopes = distance.slopes as Float32Array;
  const channels = heads * headDim;
  const out = new Float64Array(tokens * channels);
  const dot = (a: Float32Array, i: number, b: Float32Array, j: number) => {
    let sum = 0;
    for (let d = 0; d < headDim; d++) sum += a[i + d] * b[j + d];
    return sum;
  };
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < tokens; i++) {
      const at = i * channels + head * headDim;
      const logits = Array.from({ length: tokens }, (_, j) => {
        const dy = Math.floor(i / grid.w) - Math.floor(j / grid.w);
        const dx = (i % grid.w) - (j % grid.w);
        const far = (d: number) => Math.max(0, Math.abs(d) - (distance.start ?? 0));
        return (
          scale * dot(q, at, k, j * channels + head * headDim) +
          dot(q, at, relPosH, (dy + grid.h - 1) * headDim) +
          dot(q, at, relPosW, (dx + grid.w - 1) * headDim) -
          slopes[head] * (far(dy) + far(dx))
        );
      });
      const largest = Math.max(...logits);
      const weights = logits.map((logit) => Math.exp(logit - largest));
      const sum = weights.reduce((a, b) => a + b, 0);
      for (let d = 0; d < headDim; d++) {
        for (let j = 0; j < tokens; j++) {
          out[at + d] += (weights[j] / sum) * v[j * channels + head * headDim + d];
        }
      }
    }
  }
  return out;
}
