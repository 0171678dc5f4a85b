// Weights as a quantised base model holds them, rounded and decoded again on the host.
import { NF4 } from "../../../kernels/code-tables.ts";

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
