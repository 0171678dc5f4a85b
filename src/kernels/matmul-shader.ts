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

type Stored = Pick<Problem, "aTransposed" | "bTransposed" | "aHalves" | "cHalves">;

/**
 * The constants of the portable kernel. The same frozen object for the same values, which the pipeline cache recognises
 * by identity.
 */
export function layoutConstants(problem: Stored, decoding: Decoding): Specialization {
  return remembered(LAYOUT, layoutCode(problem, decoding), () => ({
    ...layoutOf(problem, decoding),
    ...(problem.aHalves && { a_stored: "f16" }),
  }));
}

/** Of the kernels for few rows, each of which has its own. */
export type MatvecConstants =
  | { LANES: number; EIGHTS: number }
  | { SG: number; ROWS: number; WHOLE_RUNS: boolean };

/** Those of the kernels for few rows. */
export function matvecConstants(decoding: Decoding, own: MatvecConstants): Specialization {
  const { constants, packed } = decoding;
  const code =
    "LANES" in own ? own.EIGHTS + 8 * own.LANES : 256 + own.ROWS + 8 * (Number(own.WHOLE_RUNS) + 2 * own.SG);
  return remembered(MATVEC, code + 4096 * decoding.id, () => ({ ...constants, packed, ...own }));
}

/** Those of the subgroup kernel. */
export function subgroupConstants(
  problem: Problem,
  decoding: Decoding,
  SG: number,
  ROWS: number,
  C_TRANSPOSED: boolean,
): Specialization {
  const SHARED_RUNS = sharesRuns(problem, decoding, 4 * SG);
  const flags = Number(C_TRANSPOSED) + 2 * Number(SHARED_RUNS);
  const code = flags + 4 * (SG + 128 * (ROWS + 64 * layoutCode(problem, decoding)));
  const { packed } = decoding;
  return remembered(SUBGROUP, code, () => ({
    ...layoutOf(problem, decoding),
    ...(problem.aHalves && { a_stored: "vec4<f16>" }),
    ...(problem.aHalves && problem.aTransposed && { h_stored: "f16" }),
    packed,
    SG,
    ROWS,
    C_TRANSPOSED,
    SHARED_RUNS,
  }));
}

/** Whether each `width` values of a row of B that a subgroup reads lie in one run of values with the same scale. */
function sharesRuns(
  { bTransposed, n, ldb, bOffset, bFirst }: Problem,
  { block }: Decoding,
  width: number,
): boolean {
  if (bTransposed || block === 0) return false;
  return [block, n, ldb, bOffset, bFirst].every((length) => length % width === 0);
}

/** Those of the kernels whose workgroups own TILE × TILE of C. */
export function tileConstants(
  problem: Stored & Pick<Problem, "kExtra">,
  decoding: Decoding,
  TILE: number,
): Specialization {
  const EXTENDED = problem.kExtra > 0;
  const code = Number(EXTENDED) + 2 * (TILE + 256 * layoutCode(problem, decoding));
  const { packed } = decoding;
  return remembered(BLOCKS, code, () => ({
    ...layoutOf(problem, decoding),
    ...(problem.aHalves && { a_stored: "vec4<f16>" }),
    packed,
    EXTENDED,
    TILE,
  }));
}

/** Those of the kernel whose workgroups share the sums of blocks of rows × cols. */
export function smallConstants(
  problem: Stored,
  decoding: Decoding,
  ROWS: number,
  COLS: number,
): Specialization {
  const code = ROWS + 64 * (COLS + 64 * layoutCode(problem, decoding));
  const { packed } = decoding;
  return remembered(SMALL, code, () => ({
    ...layoutOf(problem, decoding),
    ...(problem.aHalves && { a_stored: "vec4<f16>" }),
    packed,
    ROWS,
    COLS,
  }));
}

/** Those of the kernels for matrix units that do not depend on the units. */
export function extendedConstants(
  problem: Stored & Pick<Problem, "kExtra">,
  decoding: Decoding,
): Specialization {
  const EXTENDED = problem.kExtra > 0;
  const { packed } = decoding;
  return remembered(MATRICES, Number(EXTENDED) + 2 * layoutCode(problem, decoding), () => ({
    ...layoutOf(problem, decoding),
    ...(problem.aHalves && { a_stored: "vec4<f16>" }),
    packed,
    EXTENDED,
  }));
}

const MATRICES = new Map<number, Specialization>();
const LAYOUT = new Map<number, Specialization>();
const MATVEC = new Map<number, Specialization>();
const SUBGROUP = new Map<number, Specialization>();
const BLOCKS = new Map<number, Specialization>();
const SMALL = new Map<number, Specialization>();

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

function layoutCode({ aTransposed, bTransposed, aHalves, cHalves }: Stored, { id }: Decoding): number {
  const stored = Number(aHalves) + 2 * Number(cHalves);
  return Number(aTransposed) + 2 * Number(bTransposed) + 4 * (stored + 4 * id);
}

function layoutOf({ aTransposed, bTransposed, cHalves }: Stored, { constants }: Decoding): Specialization {
  const transposed = { A_TRANSPOSED: aTransposed, B_TRANSPOSED: bTransposed };
  return { ...constants, ...transposed, ...(cHalves && { c_stored: "f16" }) };
}
