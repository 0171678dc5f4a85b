import type { Dense } from "../../../util/linalg/dense.ts";
import { scaleColumns, toRows, toTransposedRows } from "../../../util/linalg/matrix.ts";
import { topSvd } from "../../../util/linalg/top-svd.ts";
import type { Random } from "../../../util/random.ts";
import { type Beginning, requireRank, withoutChange } from "./beginning.ts";
import { throughInt8, throughNf4 } from "./rounded.ts";

/** PEFT's `loftq_config`. */
export interface LoftqConfig {
  /** 4: NF4, 8: int8. */
  readonly bits: 4 | 8;
  /** Times that the weight without the branch is rounded and the branch fitted to the rest; at least 1. */
  readonly iterations: number;
}

/** Options of {@link loftq}. */
export interface LoftqOptions extends Pick<LoftqConfig, "iterations"> {
  /** Values as the base holds them in the end: rounded to few bits and decoded. */
  round(values: Float32Array): Float32Array | Promise<Float32Array>;
}

/** Rounds on the host, as PEFT's LoftQ does. */
export function loftqRounding({ bits }: LoftqConfig, cols: number): LoftqOptions["round"] {
  return (values) => (bits === 4 ? throughNf4(values) : throughInt8(values, cols));
}

/**
 * LoftQ: the base is rounded to few bits, and the branch begins as what comes nearest to the error (Li et al. 2023, arXiv
 * 2310.08659), by turns. PEFT forgets the scale, so that with alpha ≠ r it begins at scale times that; here the branch is
 * divided by it, and the same at alpha = r.
 * @param weight `[out, in]`
 */
export async function loftq(
  weight: Dense,
  r: number,
  scale: number,
  { iterations, round }: LoftqOptions,
  random: Random,
): Promise<Beginning> {
  requireRank("loftq", weight, r);
  const { rows, cols, values } = weight;
  let rest = values;
  for (let i = 1; ; i++) {
    const base = await round(rest);
    const error = { rows, cols, values: values.map((value, k) => value - base[k]!) };
    const { U, S, V } = topSvd(error, r, random);
    const roots = S.map((value) => Math.sqrt(value / scale));
    const factors = { A: toTransposedRows(scaleColumns(V, roots)), B: toRows(scaleColumns(U, roots)) };
    if (i >= iterations) return { ...factors, base };
    rest = withoutChange(weight, factors, scale);
  }
}
