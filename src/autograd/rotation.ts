import type { Tensor } from "../gpu/tensor.ts";
import {
  blockOuter,
  blockProduct,
  inverseOfShifted,
  projectBlocks,
  skew,
  skewGradient,
} from "../kernels/block-rotation.ts";
import { scale as scaled } from "../kernels/elementwise.ts";
import { add, scale } from "./ops.ts";
import { passOn, type Tape } from "./tape.ts";

/** Skew-symmetric blocks of the elements above their diagonals. */
function skewBlocks(tape: Tape | undefined, v: Tensor): Tensor {
  const q = skew(v);
  return (
    tape?.record(q, [v], [], (dq, give) => {
      give(v, (into) => skewGradient(dq, into));
    }) ?? q
  );
}

/** x with each part of its rows multiplied with its block. Saves both. */
function multiplied(tape: Tape | undefined, x: Tensor, m: Tensor): Tensor {
  const y = blockProduct(x, m);
  return (
    tape?.record(y, [x, m], [x, m], (dy, give) => {
      give(x, (into) => blockProduct(dy, m, { transposed: true, into }));
      give(m, (into) => blockOuter(x, dy, m, into));
    }) ?? y
  );
}

/** N = (I + Q)⁻¹ of each block, whose gradient is −Nᵀ dN Nᵀ. Saves it. */
function inverted(tape: Tape | undefined, q: Tensor): Tensor {
  const n = inverseOfShifted(q);
  return (
    tape?.record(n, [q], [n], (dn, give) => {
      give(q, (into) => blockProduct(blockOuter(n, dn, n), n, { transposed: true, alpha: -1, into }));
    }) ?? n
  );
}

/** The same values with no block above a norm; its gradient goes through as it is, as where a leaf was set to them. */
export function bounded(tape: Tape | undefined, v: Tensor, bound: number): Tensor {
  const y = scaled(v, 1);
  projectBlocks(y, bound);
  return (
    tape?.record(y, [v], [], (dy, give) => {
      give(v, (into) => passOn(dy, into));
    }) ?? y
  );
}

/**
 * Blocks from which rotations are made: R − I of each, R = I + 2 Q + 2 Q² + … + Qᵗ the series of (I + Q)(I − Q)⁻¹ cut off, or without
 * `terms` (I + Q)⁻¹, of which R = (I − Q)(I + Q)⁻¹ is twice that less I.
 * @param v `[blocks, elements]`: what of each Q is above its diagonal
 */
export function cayley(tape: Tape | undefined, v: Tensor, terms: number | undefined): Tensor {
  const q = skewBlocks(tape, v);
  if (terms === undefined) return inverted(tape, q);
  let sum = scale(tape, q, 2);
  if (terms <= 2) return sum;
  let power = multiplied(tape, q, q);
  sum = add(tape, sum, power, 2);
  for (let i = 3; i < terms - 1; i++) {
    power = multiplied(tape, power, q);
    sum = add(tape, sum, power, 2);
  }
  return add(tape, sum, multiplied(tape, power, q));
}

/** x R, with what {@link cayley} gives of the same `terms`. */
export function rotated(
  tape: Tape | undefined,
  x: Tensor,
  blocks: Tensor,
  terms: number | undefined,
): Tensor {
  const turned = multiplied(tape, x, blocks);
  return terms === undefined ? add(tape, scale(tape, x, -1), turned, 2) : add(tape, x, turned);
}

/** w Rᵀ, which multiplies x as w multiplies x R. w `[out, in]` f32 */
export function rotatedWeight(w: Tensor, blocks: Tensor, terms: number | undefined): Tensor {
  const exact = terms === undefined;
  return blockProduct(w, blocks, {
    transposed: true,
    alpha: exact ? 2 : 1,
    into: scaled(w, exact ? -1 : 1),
  });
}
