/** How the states of a text's tokens become one vector, by the names of sentence-transformers. */
export const POOLING_MODES = [
  ...(["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"] as const),
];
export type PoolingMode = (typeof POOLING_MODES)[number];
