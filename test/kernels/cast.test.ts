import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "../../src/util/half.ts";
import { castReference } from "../reference/cast.ts";
import { randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

const cases = [
  { shape: [1], scale: 1 },
  { shape: [3], scale: 1 },
  { shape: [127], scale: 1e4 },
  { shape: [5, 123], scale: 1e-5 }, // f16 subnormals
  { shape: [128, 6], scale: 1e38, limitBytes: 1600 }, // several windows; f16 overflows
];

describe.each([
  { dtype: "bf16", encode: encodeBf16, decode: decodeBf16 },
  { dtype: "f16", encode: encodeF16, decode: decodeF16 },
] as const)("cast from $dtype", ({ dtype, encode, decode }) => {
  test.each(cases)("$shape scale $scale", async ({ shape, scale, limitBytes }) => {
    const x = randomValues(
      shape.reduce((a, b) => a * b),
      1,
      scale,
    );
    const words = fromArray(await testDevice(), encode(Float32Array.from(x)), shape, dtype);
    const y = castToFloat(words, limitBytes);
    expect([y.dtype, y.shape]).toEqual(["f32", shape]);
    expect(await y.read()).toEqual(Float32Array.from(castReference(x, dtype)));
  });

  test("every code has the value that the host gives it", async () => {
    const codes = Uint16Array.from({ length: 2 ** 16 }, (_, code) => code);
    const words = fromArray(await testDevice(), codes, [2 ** 16], dtype);
    expect(await castToFloat(words).read()).toEqual(decode(codes));
  });
});

test("f32 needs no cast, integers are refused", async () => {
  const device = await testDevice();
  const x = floats(device, [1], [1]);
  expect(castToFloat(x)).toBe(x);
  expect(() => castToFloat(fromArray(device, Int32Array.of(1), [1]))).toThrow(
    "a weight of i32 cannot be multiplied",
  );
});
