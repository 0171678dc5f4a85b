import { describe, expect, test } from "vitest";
import { uint16View } from "../../src/util/bytes.ts";
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "../../src/util/half.ts";

const allCodes = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** The definition of a binary float, in f64: what the bit tricks must equal. */
function byDefinition(code: number, exponentBits: number, fractionBits: number): number {
  const sign = code >> 15 ? -1 : 1;
  const bias = 2 ** (exponentBits - 1) - 1;
  const exponent = (code >> fractionBits) & (2 ** exponentBits - 1);
  const fraction = (code & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  if (exponent === 2 ** exponentBits - 1) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias);
  return sign * (1 + fraction) * 2 ** (exponent - bias);
}

/** Nearest code by search among the two neighbours, ties to the even code. */
function nearestByDefinition(value: number, exponentBits: number, fractionBits: number): number {
  const magnitude = Math.abs(value);
  const at = (code: number) => byDefinition(code, exponentBits, fractionBits);
  const infinity = (2 ** exponentBits - 1) << fractionBits;
  let low = 0;
  let high = infinity;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (at(middle) <= magnitude) low = middle;
    else high = middle;
  }
  // Infinity takes part in rounding as if it were the next power of two.
  const upper = high === infinity ? 2 * 2 ** (2 ** (exponentBits - 1) - 1) : at(high);
  const below = magnitude - at(low);
  const above = upper - magnitude;
  const code = below < above || (below === above && low % 2 === 0) ? low : high;
  return (value < 0 ? 0x8000 : 0) | code;
}

const formats = [
  { name: "bf16", exponentBits: 8, fractionBits: 7, decode: decodeBf16, encode: encodeBf16 },
  { name: "f16", exponentBits: 5, fractionBits: 10, decode: decodeF16, encode: encodeF16 },
];

describe.each(formats)("$name", ({ exponentBits, fractionBits, decode, encode }) => {
  test("decodes every code to its definition", () => {
    const values = decode(allCodes);
    for (let code = 0; code < 65536; code++) {
      const wanted = byDefinition(code, exponentBits, fractionBits);
      if (!Object.is(values[code], wanted) && !(Number.isNaN(values[code]) && Number.isNaN(wanted))) {
        expect.fail(`code ${code}: ${values[code]}, expected ${wanted}`);
      }
    }
  });

  test("encodes what it decoded to the same code; NaN stays NaN with its sign", () => {
    const values = decode(allCodes);
    const codes = encode(values);
    for (let code = 0; code < 65536; code++) {
      if (!Number.isNaN(values[code])) {
        if (codes[code] !== code) expect.fail(`${code} became ${codes[code]}`);
        continue;
      }
      expect(codes[code]! >> 15).toBe(code >> 15);
      expect(decode(codes.subarray(code, code + 1))[0]).toBeNaN();
    }
  });

  test("rounds to nearest, ties to even", () => {
    const values = decode(allCodes).filter((v) => Number.isFinite(v));
    const next = new Float32Array(values.length * 3);
    const bits = new Uint32Array(next.buffer);
    const sourceBits = new Uint32Array(values.buffer);
    const halfStep = exponentBits === 8 ? 0x8000 : 0x1000;
    for (let i = 0; i < values.length; i++) {
      for (let d = -1; d <= 1; d++) bits[3 * i + d + 1] = sourceBits[i]! + halfStep + d;
    }
    const finite = next.filter((v) => Number.isFinite(v));
    const codes = encode(finite);
    for (let i = 0; i < finite.length; i++) {
      const wanted = nearestByDefinition(finite[i]!, exponentBits, fractionBits);
      if (codes[i] !== wanted) expect.fail(`${finite[i]} became ${codes[i]}, expected ${wanted}`);
    }
  });

  test("handles the edges", () => {
    const edges = Float32Array.of(
      0,
      -0,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      3.4028235e38,
      1e-45,
    );
    const infinity = (2 ** exponentBits - 1) << fractionBits;
    expect([...encode(edges)]).toEqual([0, 0x8000, infinity, infinity | 0x8000, infinity, 0]);
  });
});

test("f16 rounds random subnormal and large values as the definition says", () => {
  const values = Float32Array.from({ length: 4000 }, (_, i) => Math.sin(i) * 2 ** ((i % 45) - 27));
  const codes = encodeF16(values);
  values.forEach((value, i) => {
    expect(codes[i]).toBe(nearestByDefinition(value, 5, 10));
  });
});

test("uint16View copies only where the address is odd", () => {
  const bytes = Uint8Array.of(0, 1, 2, 3, 4);
  expect([...uint16View(bytes.subarray(1, 5))]).toEqual([0x0201, 0x0403]);
  expect(uint16View(bytes.subarray(0, 4)).buffer).toBe(bytes.buffer);
});
