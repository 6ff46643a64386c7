// Attributes that several ops share.

/** Applied after the bias; GELU is the exact one, with erf. */
export type Activation = 'none' | 'relu' | 'gelu';

/** Distance metrics on the token grid. */
export const METRICS = ['none', 'manhattan', 'euclidean', 'chebyshev'] as const;
export type Metric = (typeof METRICS)[number];

/** [B, …, C] or [B, C, …]. */
export type ChannelOrder = 'channelsLast' | 'channelsFirst';
