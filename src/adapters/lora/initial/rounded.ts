// Weights as a quantised base model holds them, rounded and decoded again on the host.

/** The values of NF4, which the quantiles of normal numbers are nearest to (QLoRA, arXiv 2305.14314, appendix E). */
const NF4 = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

/** Halfway from each value to the next. */
const MIDDLES = NF4.subarray(1).map((value, i) => (value + NF4[i]!) / 2);

/** Values that share a scale. */
const BLOCK = 64;

/** Values in NF4, each block of 64 beside its largest magnitude in f32, and back: bitsandbytes' without nested scales. */
export function throughNf4(values: Float32Array): Float32Array {
  const result = new Float32Array(values.length);
  for (let first = 0; first < values.length; first += BLOCK) {
    const block = values.subarray(first, first + BLOCK);
    const largest = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (largest === 0) continue;
    for (const [i, value] of block.entries()) result[first + i] = largest * nearestNf4(value / largest);
  }
  return result;
}

function nearestNf4(x: number): number {
  let code = 0;
  while (code < MIDDLES.length && x > MIDDLES[code]!) code++;
  return NF4[code]!;
}

/** Values in 8 bits, each row beside its largest magnitude, and back: bitsandbytes' int8. */
export function throughInt8(values: Float32Array, cols: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let first = 0; first < values.length; first += cols) {
    const row = values.subarray(first, first + cols);
    const largest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (largest === 0) continue;
    for (const [i, value] of row.entries())
      result[first + i] = (largest * Math.round((127 * value) / largest)) / 127;
  }
  return result;
}
