// What the shaders of matmul have in common: their parameters and constants.
import type { Device } from "../gpu/device.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import type { Decoding } from "./formats.ts";
import type { Problem } from "./matmul-problem.ts";

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
  const { eOffset: e_offset, hOffset: h_offset, bFirst: b_first } = problem;
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
    b_first,
    alpha,
    beta,
    slice,
  };
}

type Transposed = Pick<Problem, "aTransposed" | "bTransposed">;

/**
 * The constants of the portable kernel. The same frozen object for the same values, which the pipeline cache recognises
 * by identity.
 */
export function layoutConstants(problem: Transposed, decoding: Decoding): Specialization {
  return remembered(LAYOUT, layoutCode(problem, decoding), () => layoutOf(problem, decoding));
}

/** Those of the kernel for few rows. */
export function matvecConstants(decoding: Decoding, LANES: number): Specialization {
  const { constants, packed } = decoding;
  return remembered(MATVEC, LANES + 32 * decoding.id, () => ({ ...constants, packed, LANES }));
}

/** Those of the subgroup kernel. */
export function subgroupConstants(
  problem: Transposed,
  decoding: Decoding,
  SG: number,
  ROWS: number,
  C_TRANSPOSED: boolean,
): Specialization {
  const code = Number(C_TRANSPOSED) + 2 * (SG + 128 * (ROWS + 64 * layoutCode(problem, decoding)));
  const { packed } = decoding;
  return remembered(SUBGROUP, code, () => ({
    ...layoutOf(problem, decoding),
    packed,
    SG,
    ROWS,
    C_TRANSPOSED,
  }));
}

/** Those of the kernels whose workgroups own TILE × TILE of C. */
export function tileConstants(
  problem: Transposed & Pick<Problem, "kExtra">,
  decoding: Decoding,
  TILE: number,
): Specialization {
  const EXTENDED = problem.kExtra > 0;
  const code = Number(EXTENDED) + 2 * (TILE + 256 * layoutCode(problem, decoding));
  const { packed } = decoding;
  return remembered(BLOCKS, code, () => ({ ...layoutOf(problem, decoding), packed, EXTENDED, TILE }));
}

const LAYOUT = new Map<number, Specialization>();
const MATVEC = new Map<number, Specialization>();
const SUBGROUP = new Map<number, Specialization>();
const BLOCKS = new Map<number, Specialization>();

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

function layoutCode({ aTransposed, bTransposed }: Transposed, { id }: Decoding): number {
  return Number(aTransposed) + 2 * Number(bTransposed) + 4 * id;
}

function layoutOf({ aTransposed, bTransposed }: Transposed, { constants }: Decoding): Specialization {
  return { ...constants, A_TRANSPOSED: aTransposed, B_TRANSPOSED: bTransposed };
}
