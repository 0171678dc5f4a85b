import { describe, expect, test } from "vitest";
import { zeros } from "../../src/kernels/elementwise.ts";
import { matmul } from "../../src/kernels/matmul.ts";
import { inverseNorms, rowSquares } from "../../src/kernels/row-norms.ts";
import { randomValues } from "../reference/gradient.ts";
import { rowNormsReference } from "../reference/row-norms.ts";
import { floats, testDevice } from "../support/device.ts";

describe.each([
  [1, 1, 1],
  [3, 3, 2],
  [127, 5, 3],
  [5, 123, 8],
  [70, 2048, 4],
])("%i × %i, rank %i", (rows, columns, r) => {
  const w = randomValues(rows * columns, 1);
  const A = randomValues(r * columns, 2);
  const B = randomValues(rows * r, 3);
  const none = { A: new Float64Array(columns), B: new Float64Array(rows), columns, scale: 0 };

  test("sums of squares, and inverse norms of the rows", async () => {
    const device = await testDevice();
    const squares = rowSquares(floats(device, w, [rows, columns]));
    const norms = rowNormsReference(w, none);
    expect(await squares.read()).toBeClose(norms.map((norm) => norm ** 2));
    expect(await inverseNorms(squares).read()).toBeClose(norms.map((norm) => 1 / norm));
  });

  test("inverse norms with a low-rank update, of which no row is computed", async () => {
    const device = await testDevice();
    const scale = 0.5;
    const [W, a, b] = [
      floats(device, w, [rows, columns]),
      floats(device, A, [r, columns]),
      floats(device, B, [rows, r]),
    ];
    const h = { of: matmul(a, a, { layout: "NT", alpha: scale ** 2 }), first: 0, count: r };
    const P = matmul(a, W, { layout: "NT", alpha: 2 * scale, extend: { h, e: b } });
    const wanted = rowNormsReference(w, { A, B, columns, scale }).map((norm) => 1 / norm);
    expect(await inverseNorms(rowSquares(W), { B: b, P }).read()).toBeClose(wanted, 1e-4);
  });
});

test("a row of zeros has a norm that nothing becomes infinite with", async () => {
  const device = await testDevice();
  const squares = rowSquares(zeros(device, [2, 8]));
  expect((await inverseNorms(squares).read()).every(Number.isFinite)).toBe(true);
});

test("an update of another size is named", async () => {
  const device = await testDevice();
  const [squares, B, P] = [zeros(device, [3]), zeros(device, [3, 2]), zeros(device, [2, 4])];
  expect(() => inverseNorms(squares, { B, P })).toThrow("B [3,2] and P [2,4] do not go with 3 rows");
});
