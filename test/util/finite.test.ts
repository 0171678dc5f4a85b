import { describe, expect, test } from "vitest";
import { type FloatFormat, nonFinite } from "../../src/util/finite.ts";
import { decodeBf16, decodeF16 } from "../../src/util/half.ts";

const DECODE = { bf16: decodeBf16, f16: decodeF16 };

describe.each(["bf16", "f16"] as const)("%s", (format) => {
  test("each of its 65 536 codes is judged as what it decodes to, in either half of a word", () => {
    const values = DECODE[format](Uint16Array.from({ length: 65_536 }, (_, code) => code));
    const wrong = [...values.keys()].filter((code) => {
      const wanted = Number.isFinite(values[code]) ? undefined : values[code];
      const pairs = [Uint16Array.of(code, 0x3c00), Uint16Array.of(0x3c00, code)];
      return !pairs.every((pair) => Object.is(nonFinite(pair, format), wanted));
    });
    expect(wrong).toEqual([]);
  });
});

test.each([
  [0, undefined],
  [-0, undefined],
  [3.4028234663852886e38, undefined],
  [-3.4028234663852886e38, undefined],
  [1e-45, undefined],
  [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
  [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
  [Number.NaN, Number.NaN],
])("f32 %d", (value, wanted) => {
  expect(nonFinite(Float32Array.of(1, value, 2), "f32")).toBe(wanted);
});

test("bits of NaN that no arithmetic makes", () => {
  for (const bits of [0x7f800001, 0x7fffffff, 0xff800001, 0xffffffff]) {
    expect(nonFinite(Uint32Array.of(bits), "f32")).toBeNaN();
  }
});

test("the first of several is told, wherever the bytes begin", () => {
  const values = Float32Array.of(1, Number.NEGATIVE_INFINITY, Number.NaN);
  const bytes = new Uint8Array(16);
  bytes.set(new Uint8Array(values.buffer), 3);
  expect(nonFinite(bytes.subarray(3, 15), "f32")).toBe(Number.NEGATIVE_INFINITY);
  expect(nonFinite(new Float32Array(0), "f32" satisfies FloatFormat)).toBeUndefined();
});
