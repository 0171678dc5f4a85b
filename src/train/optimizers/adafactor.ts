import { adafactor, matrixTables } from "../../kernels/adafactor.ts";
import { zeros } from "../../kernels/elementwise.ts";
import type { OptimizerMethod } from "./method.ts";

/** What transformers' Adafactor has where nothing is said. */
const DEFAULTS = { decayRate: -0.8, eps: 1e-30, clipThreshold: 1 };

/** transformers' Adafactor as its Trainer runs it, with the rate that is given: Shazeer & Stern 2018, arXiv 1804.04235. */
export const adafactorMethod: OptimizerMethod = {
  create({ layout, ...tensors }, { weightDecay }) {
    const { device } = tensors.parameters;
    const matrices = layout.entries.map(({ tensor: { byteOffset, shape, size, columns } }) => {
      const width = shape.length < 2 ? size : columns;
      return { first: byteOffset / 4, rows: size / width, columns: width };
    });
    const tables = matrixTables(device, matrices);
    const rowSquares = zeros(device, [tables.rows.rows]);
    const columnSquares = zeros(device, [tables.columns.rows]);
    return {
      state: { exp_avg_sq_row: rowSquares, exp_avg_sq_col: columnSquares },
      fixed: Object.values(tables),
      update: (step) =>
        adafactor({ ...tensors, tables, rowSquares, columnSquares }, { ...DEFAULTS, ...step, weightDecay }),
    };
  },
};
