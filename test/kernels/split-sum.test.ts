import { expect, test } from "vitest";
import { splitSum } from "../../src/kernels/split-sum.ts";
import { randomValues } from "../reference/gradient.ts";
import { splitSumReference } from "../reference/split-sum.ts";
import { floats, testDevice } from "../support/device.ts";

test.each([
  { slices: 1, m: 1, n: 1, ldc: 1, offset: 0 },
  { slices: 3, m: 5, n: 8, ldc: 8, offset: 0 },
  { slices: 18, m: 3, n: 127, ldc: 127, offset: 0 },
  { slices: 2, m: 9, n: 8, ldc: 24, offset: 8 },
  { slices: 5, m: 4, n: 8, ldc: 12, offset: 3 },
])("$slices × $m×$n into rows of $ldc from $offset", async ({ slices, m, n, ldc, offset }) => {
  const device = await testDevice();
  const [parts, before] = [randomValues(slices * m * n, 1), randomValues(m * ldc, 2)];
  const sum = splitSumReference(parts, slices);
  const wanted = (start: number) => {
    const c = Float64Array.from(before);
    for (let i = 0; i < m * n; i++) {
      const at = offset + Math.floor(i / n) * ldc + (i % n);
      c[at] = start * c[at]! + sum[i]!;
    }
    return c;
  };
  const P = floats(device, parts, [slices, m, n]);
  const options = { ldc, offset };
  expect(await splitSum(P, floats(device, before, [m, ldc]), options).read()).toBeClose(wanted(0));
  const added = splitSum(P, floats(device, before, [m, ldc]), { ...options, accumulate: true });
  expect(await added.read()).toBeClose(wanted(1));
});

test("a place that is too small is refused", async () => {
  const device = await testDevice();
  const [P, C] = [
    floats(device, randomValues(24, 1), [2, 3, 4]),
    floats(device, randomValues(12, 1), [3, 4]),
  ];
  expect(() => splitSum(P, C, { ldc: 4, offset: 1 })).toThrow("do not fit into [3,4]");
});
