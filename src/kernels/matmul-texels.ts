// Large products of f32 on CPU rasterisers, whose lanes read buffers value by value: operands are copied into textures first.
import type { Tensor } from "../gpu/tensor.ts";
import type { Texels } from "../gpu/texels.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { RASTERISER_SHADERS } from "./late-shaders.ts";
import type { Operands, Problem } from "./matmul-problem.ts";

/** Lanes of a subgroup; see `texelProducts`. */
const LANES = 8;
/** Rows, and columns, of C that a workgroup computes. */
const BLOCK = 32;
/** Most bytes of a copy: a larger A goes in parts, and a larger B stays where it is. */
const MOST_BYTES = 2 ** 25;
/** Texels of a row that a workgroup writes. */
const RUN = 64;

/** Places of scratch textures. */
const OF_A = 0;
const OF_B = 1;

/**
 * Computes a product of f32 with A and B in textures. The sums are those of the subgroup kernel, in the same order.
 * @returns false, with nothing done, where that is no faster, or there is no room for the copies
 */
export function launchTexels(operands: Operands, problem: Problem): boolean {
  const { a, b } = operands;
  const { textures } = a.device;
  const { m, n, k, lda, ldb, ldc, ldh, cOffset, hOffset } = problem;
  const most = BLOCK * Math.floor(MOST_BYTES / (16 * BLOCK * texelsOf(k)));
  if (n > most) return false;
  const rows = Math.min(m, most);
  const ofA = textures.scratch(OF_A, wholeBlocks(rows) * texelsOf(k));
  const ofB = textures.scratch(OF_B, wholeBlocks(n) * texelsOf(k));
  if (!ofA || !ofB) return false;
  const inB = { rows: n, k, ld: ldb, offset: problem.bOffset, factor: 1, transposed: !problem.bTransposed };
  pack(b.words, ofB, inB, { row: 0, count: n });
  const inA = {
    rows: m,
    k,
    ld: lda,
    offset: problem.aOffset,
    factor: problem.alpha,
    transposed: problem.aTransposed,
  };
  for (let row = 0; row < m; row += rows) {
    const count = Math.min(rows, m - row);
    pack(a, ofA, inA, { row, count });
    const places = { m: count, cOffset: cOffset + row * ldc, hOffset: hOffset + row * ldh };
    multiply(operands, { ...problem, ...places }, ofA, ofB);
  }
  return true;
}

const texelsOf = (k: number) => Math.ceil(k / 4);
const wholeBlocks = (rows: number) => Math.ceil(rows / BLOCK) * BLOCK;

/** How an operand lies: rows of A, or columns of B, of length k. */
interface Source {
  readonly rows: number;
  readonly k: number;
  readonly ld: number;
  readonly offset: number;
  readonly factor: number;
  /** Stored `[k, rows]`. */
  readonly transposed: boolean;
}

function pack(
  x: Tensor,
  panels: Texels,
  { transposed, ...sizes }: Source,
  { row, count }: { readonly row: number; readonly count: number },
): void {
  x.device.run(RASTERISER_SHADERS.loaded().packOperand, "pack", {
    bind: { x, x_single: x },
    textures: { panels },
    params: { ...sizes, row },
    constants: PACKING[Number(transposed) + 2 * Number(x.dtype === "f16")] as Specialization,
    grid: [Math.ceil(texelsOf(sizes.k) / RUN), wholeBlocks(count) / LANES],
  });
}

/** The same frozen objects each time, which the pipeline cache recognises by identity. */
const PACKING = [false, true].flatMap((isHalf) =>
  [false, true].map((TRANSPOSED): Specialization => {
    const types = { stored: "vec4<f16>", single: "f16" };
    return Object.freeze({ SG: LANES, RUN, TRANSPOSED, ...(isHalf && types) });
  }),
);

function multiply({ a, b, c, extend }: Operands, problem: Problem, ofA: Texels, ofB: Texels): void {
  const { m, n, k, kExtra, ldc, ldh, cOffset, eOffset, hOffset, beta, bTransposed, cHalves } = problem;
  const sizes = { m, n, k, k_extra: kExtra, ldc, ldh };
  a.device.run(RASTERISER_SHADERS.loaded().matmulTexels, "forward", {
    bind: { c, h: extend?.h ?? b.words, e: extend?.e ?? b.words },
    textures: { a: ofA, b: ofB },
    params: { ...sizes, c_offset: cOffset, e_offset: eOffset, h_offset: hOffset, beta },
    constants: PRODUCTS[Number(bTransposed) + 2 * Number(cHalves)] as Specialization,
    grid: [Math.ceil(n / BLOCK), Math.ceil(m / BLOCK)],
  });
}

const PRODUCTS = [false, true].flatMap((isHalf) =>
  [false, true].map(
    (E_TRANSPOSED): Specialization =>
      Object.freeze({ SG: LANES, E_TRANSPOSED, ...(isHalf && { c_stored: "f16" }) }),
  ),
);
