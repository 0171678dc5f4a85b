import { describe, expect, test } from "vitest";
import { packedGate, packedGateBackward } from "../../src/kernels/packed-gate.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { packedGateReference } from "../reference/packed-gate.ts";
import { floats, testDevice } from "../support/device.ts";

const kinds = [
  { activation: "silu", layout: "halves", limit: 0 },
  { activation: "quick_gelu", layout: "pairs", limit: 7 },
] as const;

const cases = [
  { rows: 1, columns: 1 },
  { rows: 1, columns: 3 },
  { rows: 127, columns: 4 },
  { rows: 5, columns: 123 },
  { rows: 3, columns: 16, scale: 8 }, // about half are beyond the limit
  { rows: 3, columns: 16, scale: 1e4 },
].flatMap((one) => kinds.map((kind) => ({ scale: 1, ...one, ...kind })));

describe.each(cases)("$activation, $layout, limit $limit: $rows × $columns, scale $scale", (one) => {
  const { rows, columns, scale, ...kind } = one;
  const x = randomValues(rows * 2 * columns, 1, scale);

  test("forward and backward", async () => {
    const device = await testDevice();
    const given = floats(device, x, [rows, 2 * columns]);
    const problem = { columns, ...kind };
    const y = packedGate(given, kind);
    expect(y.shape).toEqual([rows, columns]);
    expect(await y.read()).toBeClose(packedGateReference(x, problem));
    if (scale > 100) return; // differences of such values are rounding
    const dy = randomValues(rows * columns, 2);
    const dx = await packedGateBackward(floats(device, dy, [rows, columns]), given, kind).read();
    const wanted = centralDifferences((values) => packedGateReference(values, problem), x, dy);
    expect(dx).toBeClose(wanted, 1e-4);
  });
});

test("a NaN comes through, also where values are clamped", async () => {
  const device = await testDevice();
  const x = floats(device, [Number.NaN, 1, 1, Number.NaN], [1, 4]);
  const y = await packedGate(x, { activation: "quick_gelu", layout: "pairs", limit: 7 }).read();
  expect(y.every(Number.isNaN)).toBe(true);
  expect(() => packedGateBackward(x, x, { activation: "silu", layout: "pairs", limit: 0 })).toThrow(
    /dy is \[1,4\]/,
  );
});
