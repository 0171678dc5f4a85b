import { type AdamWState, adamWReference } from "./adamw.ts";

/** bitsandbytes' `create_dynamic_map`, of 8 bits with 7 for the exponent. */
export function dynamicMap(signed: boolean): number[] {
  const values = [0, 1];
  for (let exponent = 0; exponent < 7; exponent++) {
    const items = 2 ** (exponent + (signed ? 0 : 1)) + 1;
    const edge = (i: number) => 0.1 + (0.9 * i) / (items - 1);
    for (let i = 0; i < items - 1; i++) {
      const value = 10 ** (exponent - 6) * ((edge(i) + edge(i + 1)) / 2);
      values.push(value, ...(signed ? [-value] : []));
    }
  }
  return values.sort((a, b) => a - b);
}

const BLOCK = 256;

/** The nearest values of a table, each times the largest of its block. */
export function roundBlocks(values: Float64Array, table: readonly number[]): void {
  for (let start = 0; start < values.length; start += BLOCK) {
    const block = values.subarray(start, start + BLOCK);
    const largest = Math.max(1e-38, ...block.map(Math.abs));
    for (let i = 0; i < block.length; i++) {
      const x = block[i]! / largest;
      const nearest = table.reduce((best, v) => (Math.abs(v - x) < Math.abs(best - x) ? v : best));
      block[i] = nearest * largest;
    }
  }
}

/** AdamW whose moments are rounded after each step. */
export function adamW8bitReference(
  state: AdamWState,
  gradients: ArrayLike<number>,
  options: Parameters<typeof adamWReference>[2],
): void {
  adamWReference(state, gradients, options);
  roundBlocks(state.m, dynamicMap(true));
  roundBlocks(state.v, dynamicMap(false));
}
