/**
 * The two 16-bit float formats of checkpoints, as arrays of their codes.
 * bf16: 1 sign, 8 exponent, 7 fraction bits (the upper half of an f32). f16: IEEE 754 binary16, 1/5/10.
 * Encoding rounds to nearest, ties to even, as PyTorch does; a NaN stays a (quiet) NaN of the same sign.
 */

/** bf16 codes → f32, exact. `out` must hold `codes.length` values. */
export function decodeBf16(codes: Uint16Array, out = new Float32Array(codes.length)): Float32Array {
  const bits = bitsOf(out);
  for (let i = 0; i < codes.length; i++) bits[i] = codes[i]! << 16;
  return out;
}

/** f32 → bf16 codes. `out` must hold `values.length` codes. */
export function encodeBf16(values: Float32Array, out = new Uint16Array(values.length)): Uint16Array {
  const bits = bitsOf(values);
  for (let i = 0; i < bits.length; i++) out[i] = bf16Code(bits[i]!);
  return out;
}

/** f16 codes → f32, exact. `out` must hold `codes.length` values. */
export function decodeF16(codes: Uint16Array, out = new Float32Array(codes.length)): Float32Array {
  const bits = bitsOf(out);
  for (let i = 0; i < codes.length; i++) bits[i] = f32Bits(codes[i]!);
  return out;
}

/** f32 → f16 codes; magnitudes from 65520 become infinity. `out` must hold `values.length` codes. */
export function encodeF16(values: Float32Array, out = new Uint16Array(values.length)): Uint16Array {
  const bits = bitsOf(values);
  for (let i = 0; i < bits.length; i++) out[i] = f16Code(bits[i]!);
  return out;
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

const INFINITY_BITS = 0x7f800000;

function bf16Code(bits: number): number {
  if ((bits & 0x7fffffff) > INFINITY_BITS) return (bits >>> 16) | 0x0040;
  const ties = (bits >>> 16) & 1;
  return (bits + 0x7fff + ties) >>> 16;
}

function f16Code(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > INFINITY_BITS) return sign | 0x7e00 | ((magnitude >>> 13) & 0x01ff);
  if (magnitude >= F32_65520) return sign | 0x7c00;
  if (magnitude >= F32_MIN_NORMAL_F16) return sign | normalF16(magnitude);
  return sign | subnormalF16(magnitude);
}

const F32_65520 = 0x477ff000; // halfway between the largest f16 and 2^16
const F32_MIN_NORMAL_F16 = 0x38800000; // 2^-14
const F32_HALF_SMALLEST_F16 = 0x33000000; // 2^-25

function normalF16(magnitude: number): number {
  const rebias = (127 - 15) << 23;
  const ties = (magnitude >>> 13) & 1;
  return (magnitude - rebias + 0x0fff + ties) >>> 13;
}

/** Subnormal f16 count in units of 2^-24. */
function subnormalF16(magnitude: number): number {
  if (magnitude < F32_HALF_SMALLEST_F16) return 0;
  const shift = 126 - (magnitude >>> 23);
  const significand = (magnitude & 0x007fffff) | 0x00800000;
  const half = 2 ** (shift - 1);
  const rest = significand & (2 ** shift - 1);
  const code = significand >>> shift;
  const up = rest > half || (rest === half && (code & 1) === 1);
  return up ? code + 1 : code;
}

function f32Bits(code: number): number {
  const sign = (code & 0x8000) << 16;
  const exponent = (code >>> 10) & 0x1f;
  const fraction = code & 0x03ff;
  if (exponent === 0x1f) return sign | INFINITY_BITS | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 127 - 15) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  const leading = 31 - Math.clz32(fraction);
  return sign | ((leading + 127 - 24) << 23) | ((fraction << (23 - leading)) & 0x007fffff);
}
