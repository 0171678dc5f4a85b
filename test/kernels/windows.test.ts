import { describe, expect, test } from "vitest";
import { empty } from "../../src/gpu/tensor.ts";
import { rowWindows } from "../../src/kernels/windows.ts";
import { testDevice } from "../support/device.ts";

describe.each([
  { shape: [100, 64], dtype: "f32", limit: 4096 },
  { shape: [1000, 3], dtype: "bf16", limit: 2000 }, // 6 bytes a row: only every 128th starts at a multiple of 256
  { shape: [37, 123], dtype: "f32", limit: 64 * 492 - 1 },
] as const)("windows of $shape $dtype under $limit bytes", ({ shape, dtype, limit }) => {
  test("cover all rows, aligned and short enough", async () => {
    const tensor = empty(await testDevice(), shape, dtype);
    const windows = rowWindows(tensor, limit);
    const rowBytes = tensor.byteLength / shape[0];
    expect(windows[0]!.start).toBe(0);
    expect(windows.at(-1)!.end).toBe(shape[0]);
    windows.forEach(({ start, end }, i) => {
      if (i > 0) expect(start).toBe(windows[i - 1]!.end);
      expect((start * rowBytes) % 256).toBe(0);
      expect((end - start) * rowBytes).toBeLessThanOrEqual(limit);
    });
  });
});

test("a tensor that fits has one window", async () => {
  expect(rowWindows(empty(await testDevice(), [5, 7]))).toEqual([{ start: 0, end: 5 }]);
});

test("rows that cannot be bound are refused", async () => {
  const tensor = empty(await testDevice(), [1000, 3], "bf16");
  expect(() => rowWindows(tensor, 512)).toThrow("128 rows of 6 bytes");
});
