// What the shaders of matmul have in common: their parameters and constants.
import type { Device } from "../gpu/device.ts";
import type { DType } from "../gpu/tensor.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { fail } from "../util/fail.ts";
import type { Problem } from "./matmul-problem.ts";

/** Value of the shaders' FORMAT constant for a weight's dtype. */
export function weightFormat(dtype: DType): number {
  if (dtype === "f32") return 0;
  if (dtype === "bf16") return 1;
  if (dtype === "f16") return 2;
  return fail("matmul", `a weight of dtype ${dtype} cannot be multiplied`, "it must be f32, bf16 or f16");
}

/** Whether shaders with common/outer-product.wgsl run here: subgroups are of one size, and not too large for their tiles. */
export function hasOuterProducts({ info: { subgroupSize } }: Device): boolean {
  return subgroupSize >= 4 && subgroupSize <= 64;
}

/** Whether A and B can be read in vectors of four: the rows in which they are stored, and where they start. */
export function isVectorizable(problem: Problem): boolean {
  const { m, n, k, lda, ldb, aOffset, bOffset, aTransposed, bTransposed } = problem;
  const isEmpty = m === 0 || n === 0 || k === 0;
  // All are multiples of four if the two low bits of none are set.
  const a = aTransposed ? 0 : k | lda | aOffset;
  const b = (bTransposed ? k : n) | ldb | bOffset;
  return !isEmpty && ((a | b) & 3) === 0;
}

/**
 * The sizes by their names in the shaders. Written out: spreading parts into one takes longer than recording a dispatch.
 * @param slice steps of the sum that one layer of workgroups computes, where the kernel can cut it
 */
export function shaderParams(problem: Problem, slice = 0) {
  const { m, n, k, kExtra: k_extra, lda, ldb, ldc, ldh, alpha, beta } = problem;
  const { aOffset: a_offset, bOffset: b_offset, cOffset: c_offset } = problem;
  const { eOffset: e_offset, hOffset: h_offset } = problem;
  return {
    m,
    n,
    k,
    k_extra,
    lda,
    ldb,
    ldc,
    ldh,
    a_offset,
    b_offset,
    c_offset,
    e_offset,
    h_offset,
    alpha,
    beta,
    slice,
  };
}

type Transposed = Pick<Problem, "aTransposed" | "bTransposed">;

/** The constants of all kernels. The same frozen object for the same values, which the pipeline cache recognises by identity. */
export function layoutConstants(problem: Transposed, dtype: DType): Specialization {
  return remembered(LAYOUT, layoutCode(problem, dtype), () => layoutOf(problem, dtype));
}

/** Those of the subgroup kernel. */
export function subgroupConstants(
  problem: Transposed,
  dtype: DType,
  SG: number,
  ROWS: number,
  C_TRANSPOSED: boolean,
): Specialization {
  const code = layoutCode(problem, dtype) + 16 * (Number(C_TRANSPOSED) + 2 * (SG + 128 * ROWS));
  return remembered(SUBGROUP, code, () => ({ ...layoutOf(problem, dtype), SG, ROWS, C_TRANSPOSED }));
}

/** Those of the kernels whose workgroups own BLOCK × BLOCK of C. */
export function tileConstants(
  problem: Transposed & Pick<Problem, "kExtra">,
  dtype: DType,
  BLOCK: number,
): Specialization {
  const EXTENDED = problem.kExtra > 0;
  const code = layoutCode(problem, dtype) + 16 * (Number(EXTENDED) + 2 * BLOCK);
  return remembered(TILE, code, () => ({ ...layoutOf(problem, dtype), EXTENDED, BLOCK }));
}

const LAYOUT = new Map<number, Specialization>();
const SUBGROUP = new Map<number, Specialization>();
const TILE = new Map<number, Specialization>();

function remembered(
  known: Map<number, Specialization>,
  code: number,
  make: () => Specialization,
): Specialization {
  let constants = known.get(code);
  if (!constants) {
    constants = Object.freeze(make());
    known.set(code, constants);
  }
  return constants;
}

/** A number below 16. */
function layoutCode({ aTransposed, bTransposed }: Transposed, dtype: DType): number {
  return Number(aTransposed) + 2 * Number(bTransposed) + 4 * weightFormat(dtype);
}

function layoutOf({ aTransposed, bTransposed }: Transposed, dtype: DType): Specialization {
  return { FORMAT: weightFormat(dtype), A_TRANSPOSED: aTransposed, B_TRANSPOSED: bTransposed };
}
