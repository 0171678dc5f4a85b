import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { zeros } from "../../src/kernels/elementwise.ts";
import { orthogonality } from "../../src/kernels/orthogonality.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { orthogonalityReference } from "../reference/orthogonality.ts";
import { floats, testDevice } from "../support/device.ts";

describe.each([
  [1, 3, "rows"],
  [3, 127, "rows"],
  [123, 5, "columns"],
  [12, 40, "columns"],
] as const)("%i × %i, %s", (rows, columns, of) => {
  const x = randomValues(rows * columns, 1);

  test("the norm and its gradient, added", async () => {
    const device = await testDevice();
    const total = fromArray(device, Float32Array.of(2), [1]);
    const gradient = floats(device, x, [rows, columns]);
    orthogonality(floats(device, x, [rows, columns]), of, { weight: 0.5, total, gradient });
    const norm = orthogonalityReference(x, rows, of);
    expect(await total.read()).toBeClose([2 + norm / 2]);
    const wanted = centralDifferences((v) => [orthogonalityReference(v, rows, of)], x, [0.5]);
    expect(await gradient.read()).toBeClose(
      wanted.map((value, i) => value + x[i]!),
      1e-4,
    );
  });
});

test("where rows are orthogonal there is no slope", async () => {
  const device = await testDevice();
  const [total, gradient] = [zeros(device, [1]), zeros(device, [2, 2])];
  const x = floats(device, [0, 1, 1, 0], [2, 2]);
  orthogonality(x, "rows", { weight: 1, total, gradient });
  expect([...(await total.read()), ...(await gradient.read())]).toEqual([0, 0, 0, 0, 0]);
});
