import { describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { adafactor, matrixTables, type PlacedMatrix } from "../../src/kernels/adafactor.ts";
import { zeros } from "../../src/kernels/elementwise.ts";
import { adafactorReference } from "../reference/adafactor.ts";
import { randomValues } from "../reference/gradient.ts";
import { testDevice } from "../support/device.ts";
import { fiveSteps, leavesAlone, updateTensors } from "../support/updates.ts";

const defaults = { learningRate: 1e-2, decayRate: -0.8, eps: 1e-30, clipThreshold: 1, weightDecay: 0.1 };
/** A wide one, a vector, one with more columns than a workgroup, one row. */
const MATRICES: PlacedMatrix[] = [
  { first: 0, rows: 3, columns: 20 },
  { first: 64, rows: 1, columns: 33 },
  { first: 128, rows: 7, columns: 130 },
  { first: 1088, rows: 90, columns: 2 },
];
const SIZE = 1088 + 192;

function tensorsOf(device: Device, start: ArrayLike<number>, factor = 1) {
  const tables = matrixTables(device, MATRICES);
  const [rowSquares, columnSquares] = [
    zeros(device, [tables.rows.rows]),
    zeros(device, [tables.columns.rows]),
  ];
  return { ...updateTensors(device, start, factor), tables, rowSquares, columnSquares };
}

describe.each([{}, { weightDecay: 0, factor: 0.25 }, { scale: 1e-6 }, { clipThreshold: 0.1 }])(
  "adafactor %j",
  ({ factor = 1, scale = 1, ...rest }) => {
    test("five steps of several matrices at once", async () => {
      const device = await testDevice();
      const options = { ...defaults, ...rest };
      const start = randomValues(SIZE, 1);
      const tensors = tensorsOf(device, start, factor);
      const wanted = MATRICES.map(({ first, rows, columns }) => ({
        ...{ rows, columns, p: start.slice(first, first + rows * columns) },
        ...{ rowSquares: new Float64Array(rows), columnSquares: new Float64Array(columns) },
      }));
      const reference = (gradients: Float64Array, step: number) => {
        for (const [i, { first }] of MATRICES.entries())
          adafactorReference(wanted[i]!, gradients.subarray(first), { ...options, step });
      };
      await fiveSteps(tensors, (step) => adafactor(tensors, { ...options, step }), reference, {
        factor,
        scale,
      });
      const got = await tensors.parameters.read();
      for (const [i, { first, rows, columns }] of MATRICES.entries())
        expect(got.slice(first, first + rows * columns)).toBeClose(wanted[i]!.p);
    });
  },
);

test("a skipped step changes nothing, and gradients of another size are refused", async () => {
  const device = await testDevice();
  const tensors = tensorsOf(device, randomValues(SIZE, 1));
  const run = () => adafactor(tensors, { ...defaults, step: 1 });
  run();
  expect(await leavesAlone(tensors, [tensors.rowSquares, tensors.columnSquares], run)).toBe(true);
  const gradients = zeros(device, [3]);
  expect(() => adafactor({ ...tensors, gradients }, { ...defaults, step: 1 })).toThrow("but 3 gradients");
});
