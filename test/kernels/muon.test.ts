import { describe, expect, test } from "vitest";
import { zeros } from "../../src/kernels/elementwise.ts";
import { muon, orthogonalize } from "../../src/kernels/muon.ts";
import { randomValues } from "../reference/gradient.ts";
import { muonReference, orthogonalizeReference } from "../reference/muon.ts";
import { floats, testDevice } from "../support/device.ts";
import { fiveSteps, leavesAlone, updateTensors } from "../support/updates.ts";

const schulz = { coefficients: [3.4445, -4.775, 2.0315], steps: 5, eps: 1e-7 } as const;
const defaults = { ...schulz, learningRate: 1e-2, momentum: 0.95, nesterov: true, weightDecay: 0.1 };
const MATRICES = [
  { first: 0, rows: 4, columns: 24 },
  { first: 128, rows: 40, columns: 8 },
  { first: 448, rows: 1, columns: 5 },
];
const SIZE = 512;

test.each([
  [4, 24],
  [40, 8],
  [16, 16],
])("the orthogonal factor of %i × %i", async (rows, columns) => {
  const device = await testDevice();
  const x = randomValues(rows * columns, 1);
  const got = await orthogonalize(floats(device, x, [rows, columns]), schulz).read();
  expect(got).toBeClose(orthogonalizeReference(x, rows, columns, schulz), 1e-4);
});

describe.each([{}, { nesterov: false, momentum: 0.9, weightDecay: 0, factor: 0.25 }])(
  "muon %j",
  ({ factor = 1, ...rest }) => {
    test("five steps of several matrices; what is no matrix stays", async () => {
      const device = await testDevice();
      const options = { ...defaults, ...rest };
      const start = randomValues(SIZE, 1);
      const tensors = {
        ...updateTensors(device, start, factor),
        momentum: zeros(device, [SIZE]),
        matrices: MATRICES,
      };
      const wanted = MATRICES.map(({ first, rows, columns }) => ({
        ...{
          rows,
          columns,
          p: start.slice(first, first + rows * columns),
          m: new Float64Array(rows * columns),
        },
      }));
      const reference = (gradients: Float64Array) => {
        for (const [i, { first }] of MATRICES.entries())
          muonReference(wanted[i]!, gradients.subarray(first), options);
      };
      await fiveSteps(tensors, () => muon(tensors, options), reference, { factor });
      const got = await tensors.parameters.read();
      for (const [i, { first, rows, columns }] of MATRICES.entries())
        expect(got.slice(first, first + rows * columns)).toBeClose(wanted[i]!.p, 1e-4);
      expect(got.slice(96, 128)).toEqual(Float32Array.from(start.slice(96, 128)));
    });
  },
);

test("a skipped step changes nothing, and a momentum of another size is refused", async () => {
  const device = await testDevice();
  const momentum = zeros(device, [SIZE]);
  const tensors = { ...updateTensors(device, randomValues(SIZE, 1)), momentum, matrices: MATRICES };
  expect(await leavesAlone(tensors, [momentum], () => muon(tensors, defaults))).toBe(true);
  expect(() => muon({ ...tensors, momentum: zeros(device, [4]) }, defaults)).toThrow(
    /512 parameters, .* of 4/,
  );
});
