import { toTransposedRows } from "../../../util/linalg/matrix.ts";
import { topSvd } from "../../../util/linalg/top-svd.ts";
import type { Random } from "../../../util/random.ts";

/**
 * The principal components of rows that come batch by batch (Ross et al. 2008, as scikit-learn's IncrementalPCA and
 * PEFT's copy of it compute them): each batch, without its mean, is decomposed together with what was found so far.
 */
export class IncrementalSvd {
  /** Components that are kept. */
  readonly size: number;
  readonly #width: number;
  readonly #random: Random;
  /** `[k, width]`, the largest singular value's first; empty before the first batch. */
  components: Float32Array = new Float32Array(0);
  /** Singular values of the components. */
  singularValues: Float64Array = new Float64Array(0);
  /** Share of the whole variance that each component has. */
  ratios: Float64Array = new Float64Array(0);
  /** Cosine of each component and the same one before the last batch; empty before the second. */
  similarities: Float64Array = new Float64Array(0);
  #count = 0;
  #mean: Float64Array;
  /** Sum of squared distances from the mean, of each column. */
  #squares: Float64Array;

  /**
   * @param size components that are kept
   * @param width elements of a row, at least as many
   */
  constructor(size: number, width: number, random: Random) {
    this.size = size;
    this.#width = width;
    this.#random = random;
    this.#mean = new Float64Array(width);
    this.#squares = new Float64Array(width);
  }

  /** Takes in a batch: `[n, width]`. One of fewer rows than components says too little, and is left out. */
  add(rows: Float32Array): void {
    const width = this.#width;
    const count = rows.length / width;
    if (count < this.size) return;
    const mean = columnMeans(rows, width);
    const isFirst = this.#count === 0;
    const total = this.#count + count;
    const stacked = new Float32Array((count + (isFirst ? 0 : this.singularValues.length + 1)) * width);
    let at = 0;
    for (const [k, value] of this.singularValues.entries()) {
      for (let i = 0; i < width; i++) stacked[at++] = value * this.components[k * width + i]!;
    }
    for (let r = 0; r < count; r++) {
      for (let i = 0; i < width; i++) {
        const distance = rows[r * width + i]! - mean[i]!;
        stacked[at++] = distance;
        this.#squares[i]! += distance ** 2;
      }
    }
    const share = (this.#count * count) / total;
    for (let i = 0; i < width; i++) {
      const apart = this.#mean[i]! - mean[i]!;
      if (!isFirst) stacked[at++] = Math.sqrt(share) * apart;
      this.#squares[i]! += share * apart ** 2;
      this.#mean[i] = (this.#count * this.#mean[i]! + count * mean[i]!) / total;
    }
    const { S, V } = topSvd(
      { rows: stacked.length / width, cols: width, values: stacked },
      this.size,
      this.#random,
    );
    const before = this.components;
    this.components = toTransposedRows(V);
    this.singularValues = S;
    this.#count = total;
    const variance = this.#squares.reduce((sum, value) => sum + value, 0);
    this.ratios = S.map((value) => value ** 2 / variance);
    if (before.length === this.components.length) this.similarities = cosines(before, this.components, width);
  }
}

function columnMeans(rows: Float32Array, width: number): Float64Array {
  const mean = new Float64Array(width);
  for (let k = 0; k < rows.length; k++) mean[k % width]! += rows[k]!;
  return mean.map((sum) => sum / (rows.length / width));
}

/** Of the rows of two matrices, each of length 1. */
function cosines(a: Float32Array, b: Float32Array, width: number): Float64Array {
  return Float64Array.from({ length: a.length / width }, (_, k) => {
    let sum = 0;
    for (let i = k * width; i < (k + 1) * width; i++) sum += a[i]! * b[i]!;
    return sum;
  });
}
