import shader from "../../shaders/adafactor.wgsl";
import type { Device } from "../gpu/device.ts";
import { empty, fromArray, scoped, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { foldGrid } from "./grid.ts";
import { checkRates, RATE_BLOCK, type UpdateTensors } from "./update.ts";

/** Where a matrix lies among the parameters; a vector is a matrix of one row. */
export interface PlacedMatrix {
  /** Its first element. */
  readonly first: number;
  readonly rows: number;
  readonly columns: number;
}

/** What the kernel has to know of all matrices, made once. */
export interface MatrixTables {
  /** u32 `[rows, 4]`: first element, columns, matrix, first column. */
  readonly rows: Tensor;
  /** u32 `[columns, 4]`: first element, rows, columns of the matrix. */
  readonly columns: Tensor;
  /** u32 `[matrices, 4]`: first row, rows, columns. */
  readonly matrices: Tensor;
}

/** Uploads what {@link adafactor} has to know of its matrices; numbered as given, their rows and columns one after another. */
export function matrixTables(device: Device, matrices: readonly PlacedMatrix[]): MatrixTables {
  const rows: number[] = [];
  const columns: number[] = [];
  const all: number[] = [];
  for (const [i, { first, rows: count, columns: width }] of matrices.entries()) {
    all.push(rows.length / 4, count, width, 0);
    const firstColumn = columns.length / 4;
    for (let row = 0; row < count; row++) rows.push(first + row * width, width, i, firstColumn);
    for (let column = 0; column < width; column++) columns.push(first + column, count, width, 0);
  }
  const upload = (words: number[]) => fromArray(device, Uint32Array.from(words), [words.length / 4, 4]);
  return { rows: upload(rows), columns: upload(columns), matrices: upload(all) };
}

/** What Adafactor updates and reads. */
export interface AdafactorTensors extends UpdateTensors {
  tables: MatrixTables;
  /** `[rows of all matrices]`: running mean squares of their gradients, zeros before the first step. */
  rowSquares: Tensor;
  /** `[columns of all matrices]`. */
  columnSquares: Tensor;
}

/** Hyperparameters of one step. */
export interface AdafactorStep {
  learningRate: number;
  /** The running means forget by 1 − step^decayRate. */
  decayRate: number;
  /** Added to squares of gradients. */
  eps: number;
  /** Root mean square that the update of a matrix has at most. */
  clipThreshold: number;
  /** Decoupled. */
  weightDecay?: number;
  /** 1 for the first step. */
  step: number;
}

/**
 * One step of transformers' `Adafactor` in place, with a rate that is given (`relative_step` and `scale_parameter` off) and
 * without a first moment: Shazeer & Stern 2018, arXiv 1804.04235.
 */
export function adafactor(tensors: AdafactorTensors, step: AdafactorStep): void {
  const { parameters, gradients, outcome, rates, tables, rowSquares, columnSquares } = tensors;
  const { device } = parameters;
  if (!(step.step >= 1)) fail("adafactor", `step is ${step.step}; the first is 1`);
  if (parameters.byteLength > device.bindingLimit) {
    const most = `${device.bindingLimit} bytes in one piece here, and these are ${parameters.byteLength}`;
    fail("adafactor", `parameters may have ${most}`, "choose another optimiser, or train fewer");
  }
  if (gradients.size !== parameters.size)
    fail("adafactor", `${parameters.size} parameters, but ${gradients.size} gradients`);
  checkRates("adafactor", rates, parameters.size);
  const forgets = 1 - step.step ** step.decayRate;
  const params = {
    ...{ first_block: 0, block_shift: Math.log2(RATE_BLOCK), beta2: forgets, rest2: 1 - forgets },
    ...{ eps: step.eps, clip: step.clipThreshold, lr: step.learningRate },
    decay: step.learningRate * (step.weightDecay ?? 0),
  };
  const [rows, columns, matrices] = [tables.rows.rows, tables.columns.rows, tables.matrices.rows];
  scoped(device, () => {
    const squares = { row_squares: rowSquares, column_squares: columnSquares };
    const [sums, factors] = [empty(device, [rows]), empty(device, [matrices, 2])];
    const run = (entry: string, count: number, groups: number, bind: Record<string, Tensor>) =>
      device.run(shader, entry, {
        bind,
        params: { ...params, count },
        grid: foldGrid(groups),
        changing: true, // the rate, and what is forgotten
      });
    const ofRows = { gradient: gradients, row_table: tables.rows, outcome };
    run("row_means", rows, rows, { ...ofRows, row_squares: rowSquares });
    run("column_means", columns, Math.ceil(columns / 64), {
      ...{ gradient: gradients, column_squares: columnSquares, column_table: tables.columns, outcome },
    });
    const ofMatrices = { matrix_table: tables.matrices, factors };
    run("matrix_means", matrices, matrices, { ...ofMatrices, row_squares: rowSquares });
    run("row_sums", rows, rows, { ...ofRows, ...squares, factors, sums });
    run("matrix_factors", matrices, matrices, { ...ofMatrices, sums });
    run("apply", rows, rows, { ...ofRows, ...squares, factors, p: parameters, rates });
    return undefined;
  });
}
