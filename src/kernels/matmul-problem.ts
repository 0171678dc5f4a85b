import { type DType, empty, Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { firstValue, type Weight } from "./weight.ts";

/** Which operand is stored transposed: `NT` is `A Bᵀ`, as in y = x Wᵀ. */
export type Layout = "NN" | "NT" | "TN";

/** Columns first … first + count of a matrix: what several layers of one input share, one layer's part of it. */
export interface Columns {
  of: Tensor;
  first: number;
  count: number;
}

/** A product added to the main one in the same kernel: `H op(E)`, the LoRA branch. Both f32, same layout as B. */
export interface Extension {
  /** `[m, r]` */
  h: Tensor | Columns;
  /** `[n, r]` for NT, `[r, n]` for NN */
  e: Tensor;
}

/** The tensors of a product, whole. */
export interface Operands {
  a: Tensor;
  b: Weight;
  c: Tensor;
  extend: { h: Tensor; e: Tensor } | undefined;
}

/**
 * What the kernels see: op(A) is m×k, op(B) k×n; ld* are row lengths as stored, offsets the first element used.
 * That of E is 0 but in a window of the whole.
 */
export interface Problem {
  m: number;
  n: number;
  k: number;
  kExtra: number;
  lda: number;
  ldb: number;
  ldc: number;
  ldh: number;
  aOffset: number;
  bOffset: number;
  cOffset: number;
  eOffset: number;
  hOffset: number;
  /** Values of the weight before those of B. */
  bFirst: number;
  alpha: number;
  beta: number;
  aTransposed: boolean;
  bTransposed: boolean;
  /** A, or C, lies in f16 instead of f32. */
  aHalves: boolean;
  cHalves: boolean;
}

/** What a caller of `matmul` may ask for. */
export interface ProblemOptions {
  layout: Layout;
  /** Factor of the main product, not of the extension. */
  alpha?: number;
  /** Adds to this tensor and returns it, instead of making a new one. */
  into?: Tensor | undefined;
  /** Type of a new result; that of A unless given, and f32 for TN. */
  dtype?: DType;
  /** Writes these columns of a wider matrix, which it returns, instead of making a tensor. */
  out?: Columns;
  extend?: Extension | undefined;
  /**
   * NN: what follows the columns of A, up to a multiple of four, is zero, and the sum may run over it. Rows of B that
   * are not there are then multiplied by zero: WebGPU reads a zero or something of what is bound in their place, which is
   * B alone, and so finite, where B has whole vectors of 16 bytes; see {@link canPadSum}.
   */
  paddedSum?: boolean;
}

/** The operands of a product with a place for the result, and its sizes. @throws LoraError where shapes do not meet. */
export function poseProblem(
  a: Tensor | Columns,
  b: Weight | Columns,
  { layout, alpha = 1, into, out, extend, paddedSum = false, dtype }: ProblemOptions,
): [Operands, Problem] {
  const left = asColumns(a);
  const [k, m] = layout === "TN" ? [left.of.rows, left.count] : [left.count, left.of.rows];
  const right: WeightColumns = "of" in b ? asColumns(b) : { of: b, first: 0, count: b.columns };
  const { columns: ldb, rows: bRows } = right.of;
  const [bK, n] = layout === "NT" ? [right.count, bRows] : [bRows, right.count];
  if (bK !== k)
    fail(
      "matmul",
      `${layout}: A [${left.of.rows},${left.count}] and B [${bRows},${right.count}] do not meet: ${k} against ${bK}`,
    );
  checkFormats(left.of, right.of, layout);
  const branch = extend && { h: asColumns(extend.h), e: extend.e };
  if (branch) checkExtension(branch.h, branch.e, layout, m, n);
  if (paddedSum) checkPadding(left, right.of, layout);
  if (out) checkPlace(asColumns(out), m, n, into);
  const c = out?.of ?? into ?? newResult(left.of, { layout, m, n }, dtype);
  const operands = {
    a: left.of,
    b: asMatrix(right.of),
    c,
    extend: branch && { h: branch.h.of, e: branch.e },
  };
  // Written out: spreading parts into one takes longer than recording a dispatch.
  const problem: Problem = {
    m,
    n,
    k: paddedSum ? Math.ceil(k / 4) * 4 : k,
    kExtra: branch ? branch.h.count : 0,
    lda: left.of.columns,
    ldb,
    ldc: out ? out.of.columns : n,
    ldh: branch ? branch.h.of.columns : 0,
    aOffset: left.first,
    bOffset: right.first,
    cOffset: out ? out.first : 0,
    eOffset: 0,
    hOffset: branch ? branch.h.first : 0,
    bFirst: firstValue(right.of),
    alpha,
    beta: into ? 1 : 0,
    aTransposed: layout === "TN",
    bTransposed: layout === "NT",
    aHalves: left.of.dtype === "f16",
    cHalves: c.dtype === "f16",
  };
  return [operands, problem];
}

/** Gradients of matrices, which TN gives, are f32; all else lies in what its input does. */
function newResult(
  { device, shape, dtype }: Tensor,
  { layout, m, n }: Pick<Problem, "m" | "n"> & { layout: Layout },
  wanted: DType = layout === "TN" ? "f32" : dtype,
): Tensor {
  return empty(device, layout === "TN" ? [m, n] : [...shape.slice(0, -1), n], wanted);
}

interface WeightColumns {
  of: Weight;
  first: number;
  count: number;
}

/** Windows are runs of a first axis of rows. */
function asMatrix(weight: Weight): Weight {
  return weight instanceof Tensor && weight.shape.length !== 2
    ? weight.reshape([weight.rows, weight.columns])
    : weight;
}

function asColumns(matrix: Tensor | Columns): Columns {
  if (!("of" in matrix)) return { of: matrix, first: 0, count: matrix.columns };
  const { of, first, count } = matrix;
  if (first < 0 || count < 1 || first + count > of.columns)
    fail("matmul", `columns ${first} to ${first + count} of [${of.shape}]`);
  return matrix;
}

/** Whether nothing but B lies in its binding, which is rounded up to 16 bytes: what follows it, or a scale, may be NaN. */
export function canPadSum(b: Weight): boolean {
  return b.scales === undefined && b.byteLength % 16 === 0;
}

function checkPadding({ of, first, count }: Columns, b: Weight, layout: Layout): void {
  const end = first + Math.ceil(count / 4) * 4;
  if (layout === "NN" && end <= of.columns && canPadSum(b)) return;
  fail(
    "matmul",
    `${layout} of columns ${first} to ${end} of [${of.shape}] and B of ${b.byteLength} bytes cannot run over padding`,
    "NN, padding inside the row, and B of whole vectors of 16 bytes",
  );
}

function checkPlace({ of, count }: Columns, m: number, n: number, into: Tensor | undefined): void {
  if (of.rows === m && count === n && !into) return;
  fail("matmul", `out has ${of.rows}×${count} for a result of ${m}×${n}`, "into adds, out overwrites");
}

function checkFormats(a: Tensor, b: Weight, layout: Layout): void {
  if (!isActivations(a.dtype)) fail("matmul", `A is ${a.dtype}`, "activations are f32 or f16");
  if (layout === "TN" && !isActivations(b.format))
    fail("matmul", `TN: B is ${b.format}`, "both operands must be activations, f32 or f16");
}

const isActivations = (format: string) => format === "f32" || format === "f16";

function checkExtension(h: Columns, e: Tensor, layout: Layout, m: number, n: number): void {
  const wanted = layout === "NT" ? [n, h.count] : [h.count, n];
  if (layout !== "TN" && h.of.rows === m && e.rows === wanted[0] && e.columns === wanted[1]) return;
  fail(
    "matmul",
    `extension H [${h.of.rows},${h.count}], E [${e.shape}] does not fit ${layout} with C [${m}, ${n}]`,
  );
}
