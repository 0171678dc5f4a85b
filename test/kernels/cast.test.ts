import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { castToFloat, castToWords } from "../../src/kernels/cast.ts";
import { uint16View } from "../../src/util/bytes.ts";
import { encodeBf16, encodeF16 } from "../../src/util/half.ts";
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

describe.each(["bf16", "f16"] as const)("cast %s", (dtype) => {
  test.each(cases)("$shape scale $scale", async ({ shape, scale, limitBytes }) => {
    const device = await testDevice();
    const x = randomValues(
      shape.reduce((a, b) => a * b),
      1,
      scale,
    );
    const words = castToWords(floats(device, x, shape), dtype, limitBytes);
    expect(words.dtype).toBe(dtype);
    expect(words.shape).toEqual(shape);
    expect(await castToFloat(words, limitBytes).read()).toEqual(Float32Array.from(castReference(x, dtype)));
  });

  test("special values have the codes that the host gives them", async () => {
    const device = await testDevice();
    const encode = dtype === "bf16" ? encodeBf16 : encodeF16;
    const codes = await castToWords(floats(device, SPECIAL, [SPECIAL.length]), dtype).readBytes();
    expect(uint16View(codes)).toEqual(encode(SPECIAL));
  });

  test("every code survives the way to f32 and back", async () => {
    const device = await testDevice();
    const codes = Uint16Array.from({ length: 2 ** 16 }, (_, code) => code);
    const again = await castToWords(
      castToFloat(fromArray(device, codes, [2 ** 16], dtype)),
      dtype,
    ).readBytes();
    const isNaNCode = (code: number) => (code & 0x7fff) > (dtype === "bf16" ? 0x7f80 : 0x7c00);
    const quiet = dtype === "bf16" ? 0x0040 : 0x0200; // a signalling NaN comes back as a quiet one
    expect(uint16View(again)).toEqual(codes.map((code) => (isNaNCode(code) ? code | quiet : code)));
  });
});

/** Zeros, infinities, NaN, ties to both sides, limits of the formats, subnormals of f16 and of f32. */
const SPECIAL = Float32Array.of(
  ...[0, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN],
  ...[1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -11, 1 + 3 * 2 ** -11, -(1 + 2 ** -11)],
  ...[65504, 65519, 65520, -65520, 3.4e38, -3.4028234e38],
  ...[2 ** -14, 2 ** -14 - 2 ** -25, 2 ** -24, 2 ** -25, 1.0001 * 2 ** -25, 3 * 2 ** -25, -(2 ** -24)],
  ...[1e-40, 1e-45],
);

test("f32 needs no cast, integers are refused", async () => {
  const device = await testDevice();
  const x = floats(device, [1], [1]);
  expect(castToFloat(x)).toBe(x);
  expect(() => castToWords(fromArray(device, Int32Array.of(1), [1]), "bf16")).toThrow("expected f32");
});
