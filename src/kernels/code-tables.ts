// Values of four-bit codes that no rule gives, as shaders/common/weight.wgsl has them.

/** NormalFloat: quantiles of the normal distribution (Dettmers et al. 2023, QLoRA, arXiv 2305.14314, appendix E). */
export const NF4 = Float32Array.of(
  ...[-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635],
  ...[-0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725],
  ...[0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941],
  ...[0.7229568362236023, 1],
);

/** bitsandbytes' floats of four bits (`get_4bit_type` in functional.py), divided by the largest. */
export const FP4 = Float32Array.from(
  [0, 0.0625, 8, 12, 4, 6, 2, 3, 0, -0.0625, -8, -12, -4, -6, -2, -3],
  (value) => value / 12,
);
