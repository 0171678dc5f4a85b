import { EigenvalueDecomposition } from "ml-matrix";
import { append, largest } from "../arrays.ts";
import type { Random } from "../random.ts";
import { type Dense, denseProduct, transposedDense } from "./dense.ts";
import { addScaled, columns, dot, fromRows, type Matrix, matrix, norm, product } from "./matrix.ts";
import { fromMl, type Svd, svd, toMl, truncated, withFixedSigns } from "./svd.ts";

/** Vectors that the basis grows by at a time. */
const BLOCK = 8;

/** How far a right singular vector may be from one, ‖Aᵀ A v − σ² v‖, beside the square of the largest singular value. */
const TOLERANCE = 1e-12;

/** Sides up to which a whole decomposition is the quicker one. */
const SMALL = 128;

/**
 * The largest singular values of a large matrix and their vectors, as exact as a full decomposition gives them: a block
 * Lanczos method with full reorthogonalisation on Aᵀ A (Golub, Luk and Overton, ACM TOMS 7(2), 1981), which grows a basis
 * until the wanted ones are found. Values that are equal are found up to eight times each, and those below a millionth of
 * the largest are only known to be that small.
 * @param count how many; no more are given than the smaller side has
 * @param random draws the block that it begins with; the result depends on it in the last bits only
 */
export function topSvd(a: Dense, count: number, random: Random): Svd {
  if (a.rows < a.cols) {
    const { U, S, V } = topSvd(transposedDense(a), count, random);
    return withFixedSigns({ U: V, S, V: U });
  }
  const k = Math.min(count, a.cols);
  if (a.cols <= SMALL || 4 * k > a.cols) return truncated(svd(fromRows(a.values, a.rows, a.cols)), k);
  const { vectors, images } = ritzVectors(a, k, random);
  const { U, S, V } = svd(images);
  return withFixedSigns({ U, S, V: product(vectors, V) });
}

/** Orthonormal vectors that span the wanted singular vectors, and what the matrix makes of them. */
interface RitzVectors {
  readonly vectors: Matrix;
  readonly images: Matrix;
}

function ritzVectors(a: Dense, count: number, random: Random): RitzVectors {
  const back = transposedDense(a);
  const basis: Float64Array[] = [];
  const images: Float64Array[] = [];
  /** Of Aᵀ A in the basis: for each vector the coefficients on those up to the end of its block. */
  const projection: Float64Array[] = [];
  let block = Array.from({ length: BLOCK }, () => randomVector(a.cols, random));
  for (let checkAt = 2 * count + BLOCK; ; ) {
    append(basis, orthonormalised(block, basis, random).slice(0, a.cols - basis.length));
    const image = denseProduct(a, joined(basis.slice(images.length)));
    append(images, separate(image));
    const rest = separate(denseProduct(back, image));
    append(
      projection,
      rest.map((vector) => removeParts(vector, basis)),
    );
    if (basis.length >= checkAt || basis.length === a.cols) {
      const { vectors, residual } = topEigenvectors(projection, rest, count);
      if (residual <= TOLERANCE || basis.length === a.cols)
        return { vectors: product(joined(basis), vectors), images: product(joined(images), vectors) };
      checkAt = 1.3 * basis.length;
    }
    block = rest;
  }
}

/**
 * The eigenvectors of the largest eigenvalues of a symmetric matrix.
 * @param projection its columns, from the top to the diagonal at least
 * @param rest what the basis lacks of the image of its last vectors
 * @returns also how far the worst of them is from an eigenvector of the whole matrix, beside the largest eigenvalue
 */
function topEigenvectors(
  projection: readonly Float64Array[],
  rest: readonly Float64Array[],
  count: number,
): { vectors: Matrix; residual: number } {
  const size = projection.length;
  const whole = matrix(size, size);
  for (const [j, column] of projection.entries())
    for (let i = 0; i <= j; i++) {
      whole.data[j * size + i] = column[i] as number;
      whole.data[i * size + j] = column[i] as number;
    }
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(toMl(whole), {
    assumeSymmetric: true,
  });
  const all = fromMl(eigenvectorMatrix);
  const vectors = matrix(size, count);
  let residual = 0;
  for (let j = 0; j < count; j++) {
    const vector = columns(all, size - 1 - j); // in ascending order
    columns(vectors, j).set(vector);
    const last = matrix(rest.length, 1, vector.slice(size - rest.length));
    residual = Math.max(residual, norm(product(joined(rest), last).data));
  }
  return { vectors, residual: residual / Math.max(realEigenvalues.at(-1) ?? 0, Number.MIN_VALUE) };
}

/** Takes the parts along orthonormal vectors out of a vector. @returns their coefficients */
function removeParts(vector: Float64Array, basis: readonly Float64Array[]): Float64Array {
  const coefficients = new Float64Array(basis.length);
  for (let pass = 0; pass < 2; pass++) {
    const found = basis.map((one) => dot(one, vector)); // once leaves a rest where much is taken out
    for (const [i, one] of basis.entries()) {
      addScaled(vector, one, -found[i]!);
      coefficients[i]! += found[i]!;
    }
  }
  return coefficients;
}

/** A vector that is this short beside what it was made of is rounding noise. */
const NOISE = 1e-12;

/** The block as orthonormal vectors that are orthogonal to the basis, too; in place of noise there are random ones. */
function orthonormalised(
  block: readonly Float64Array[],
  basis: readonly Float64Array[],
  random: Random,
): Float64Array[] {
  const scale = Math.max(largest(block.map(norm)), Number.MIN_VALUE);
  const done: Float64Array[] = [];
  for (const given of block) {
    if (basis.length + done.length >= given.length) break;
    let vector: Float64Array = given.slice();
    removeParts(vector, done);
    while (norm(vector) <= NOISE * scale || !(norm(vector) > 0)) {
      vector = randomVector(given.length, random);
      removeParts(vector, [...basis, ...done]);
    }
    const length = norm(vector);
    done.push(vector.map((value) => value / length));
  }
  return done;
}

function randomVector(length: number, random: Random): Float64Array {
  return Float64Array.from({ length }, () => random.normal());
}

function joined(vectors: readonly Float64Array[]): Matrix {
  const result = matrix(vectors[0]?.length ?? 0, vectors.length);
  for (const [j, vector] of vectors.entries()) columns(result, j).set(vector);
  return result;
}

function separate(m: Matrix): Float64Array[] {
  return Array.from({ length: m.cols }, (_, j) => columns(m, j));
}
