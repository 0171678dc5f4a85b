import portable from "../../shaders/matmul.wgsl";
import subgroup from "../../shaders/matmul-subgroup.wgsl";
import matvec from "../../shaders/matvec.wgsl";
import type { Launch } from "../gpu/kernel.ts";
import { type DType, empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { rowWindows } from "./windows.ts";

/** Which operand is stored transposed: `NT` is `A Bᵀ`, as in y = x Wᵀ. */
export type Layout = "NN" | "NT" | "TN";

/** A product added to the main one in the same kernel: `H op(E)`, the LoRA branch. Both f32, same layout as B. */
export interface Extension {
  /** `[m, r]` */
  h: Tensor;
  /** `[n, r]` for NT, `[r, n]` for NN */
  e: Tensor;
}

/** Options of {@link matmul}. */
export interface MatmulOptions {
  layout: Layout;
  /** Factor of the main product, not of the extension. */
  alpha?: number;
  /** Adds to this tensor and returns it, instead of making a new one. */
  into?: Tensor;
  extend?: Extension;
  /** Most bytes of B in one binding; tests lower it. */
  windowBytes?: number;
}

/** Value of the shaders' FORMAT constant for a weight's dtype. */
export function weightFormat(dtype: DType): number {
  if (dtype === "f32") return 0;
  if (dtype === "bf16") return 1;
  if (dtype === "f16") return 2;
  return fail("matmul", `a weight of dtype ${dtype} cannot be multiplied`, "it must be f32, bf16 or f16");
}

interface Problem {
  m: number;
  n: number;
  k: number;
  kExtra: number;
  lda: number;
  ldb: number;
  ldc: number;
  aOffset: number;
  cOffset: number;
  eOffset: number;
  alpha: number;
  beta: number;
}

interface Operands {
  a: Tensor;
  b: Tensor;
  c: Tensor;
  extend: Extension | undefined;
  layout: Layout;
}

/**
 * C = alpha · op(A) op(B) + H op(E), added to `into` where given.
 * @param a `[..., k]` f32 (NN, NT) or `[k, m]` (TN); leading axes are flattened to rows
 * @param b `[k, n]` (NN, TN) or `[n, k]` (NT); f32, or bf16/f16 words of a frozen weight (NN, NT)
 * @returns `[..., n]`, or `[m, n]` for TN
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions): Tensor {
  const { layout, alpha = 1, into, extend, windowBytes } = options;
  const [k, m] = layout === "TN" ? [a.rows, a.columns] : [a.columns, a.rows];
  const [bRows, bCols] = [b.rows, b.columns];
  const n = layout === "NT" ? bRows : bCols;
  checkShapes(a, b, layout, k, m, n, extend);
  const c = into ?? empty(a.device, layout === "TN" ? [m, n] : [...a.shape.slice(0, -1), n]);
  const operands = { a, b: b.reshape([bRows, bCols]), c, extend, layout };
  const whole: Problem = {
    m,
    n,
    k,
    kExtra: extend?.h.columns ?? 0,
    lda: a.columns,
    ldb: bCols,
    ldc: n,
    aOffset: 0,
    cOffset: 0,
    eOffset: 0,
    alpha,
    beta: into ? 1 : 0,
  };
  for (const { start, end } of rowWindows(operands.b, windowBytes)) {
    launch({ ...operands, b: operands.b.slice(start, end) }, windowProblem(whole, layout, start, end));
  }
  return c;
}

/** Rows [start, end) of B are columns of C in NT, and a part of the sum over k otherwise. */
function windowProblem(whole: Problem, layout: Layout, start: number, end: number): Problem {
  const size = end - start;
  if (layout === "NT") return { ...whole, n: size, cOffset: start, eOffset: start * whole.kExtra };
  const aOffset = layout === "TN" ? start * whole.lda : start;
  if (start === 0) return { ...whole, k: size };
  return { ...whole, k: size, aOffset, kExtra: 0, beta: 1 };
}

/** Up to this many rows a product only reads the weight: the matvec kernel. */
const MATVEC_ROWS = 4;

function launch(operands: Operands, problem: Problem): void {
  const { subgroupSize } = operands.a.device.info;
  if (operands.layout === "NT" && problem.m <= MATVEC_ROWS && problem.k % 4 === 0 && problem.beta === 0) {
    launchMatvec(operands, problem);
  } else if (subgroupSize >= 4 && subgroupSize <= 64 && isVectorizable(problem, operands.layout)) {
    launchSubgroup(operands, problem, subgroupSize);
  } else {
    launchPortable(operands, problem);
  }
}

/** The subgroup kernel reads and writes four values at a time. */
function isVectorizable({ m, n, k, kExtra, lda, ldc, aOffset, cOffset }: Problem, layout: Layout): boolean {
  const lengths = [n, k, kExtra, ldc, aOffset, cOffset, layout === "TN" ? 0 : lda];
  return m > 0 && lengths.every((length) => length % 4 === 0);
}

function launchSubgroup(operands: Operands, problem: Problem, SG: number): void {
  const { a, b, c, extend, layout } = operands;
  a.device.run(subgroup, "forward", {
    bind: { a, a_scalar: a, b, b_packed: b, c, h: extend?.h ?? a, e: extend?.e ?? a },
    params: shaderParams(problem),
    constants: { ...layoutConstants(layout, b.dtype), SG },
    grid: [Math.ceil(problem.n / (4 * SG)), Math.ceil(problem.m / 16)],
  });
}

function launchMatvec({ a, b, c, extend }: Operands, problem: Problem): void {
  const { m, n, k, ldc, alpha } = problem;
  // Lanes that share a column must meet at barriers, which cost a CPU rasteriser more than they save.
  const LANES = a.device.info.software ? 1 : 16;
  a.device.run(matvec, "forward", {
    bind: { x: a, w: b, w_packed: b, y: c, h: extend?.h ?? a, e: extend?.e ?? a },
    params: {
      m,
      n,
      k,
      ldc,
      alpha,
      k_extra: problem.kExtra,
      c_offset: problem.cOffset,
      e_offset: problem.eOffset,
    },
    constants: { FORMAT: weightFormat(b.dtype), LANES },
    grid: [Math.ceil(n / (64 / LANES)), m],
  });
}

function launchPortable(operands: Operands, problem: Problem): void {
  const { a, b, c, extend, layout } = operands;
  a.device.run(portable, "forward", {
    bind: { a, b, c, h: extend?.h ?? a, e: extend?.e ?? a },
    params: shaderParams(problem),
    constants: layoutConstants(layout, b.dtype),
    grid: [Math.ceil(problem.n / 32), Math.ceil(problem.m / 32)],
  });
}

function layoutConstants(layout: Layout, dtype: DType): NonNullable<Launch["constants"]> {
  return { FORMAT: weightFormat(dtype), A_TRANSPOSED: layout === "TN", B_TRANSPOSED: layout === "NT" };
}

function shaderParams(problem: Problem): Record<string, number> {
  const { kExtra, aOffset, cOffset, eOffset, ...rest } = problem;
  return { ...rest, k_extra: kExtra, a_offset: aOffset, c_offset: cOffset, e_offset: eOffset };
}

function checkShapes(
  a: Tensor,
  b: Tensor,
  layout: Layout,
  k: number,
  m: number,
  n: number,
  extend: Extension | undefined,
): void {
  const bK = layout === "NT" ? b.columns : b.rows;
  if (bK !== k)
    fail("matmul", `${layout}: A [${a.shape}] and B [${b.shape}] do not meet: ${k} against ${bK}`);
  if (a.dtype !== "f32") fail("matmul", `A is ${a.dtype}`, "activations are f32");
  if (layout === "TN" && b.dtype !== "f32")
    fail("matmul", `TN: B is ${b.dtype}`, "both operands must be f32");
  if (!extend) return;
  const r = extend.h.columns;
  const wanted = layout === "NT" ? [n, r] : [r, n];
  if (
    layout === "TN" ||
    extend.h.rows !== m ||
    extend.e.rows !== wanted[0] ||
    extend.e.columns !== wanted[1]
  ) {
    fail(
      "matmul",
      `extension H [${extend.h.shape}], E [${extend.e.shape}] does not fit ${layout} with C [${m}, ${n}]`,
    );
  }
}
