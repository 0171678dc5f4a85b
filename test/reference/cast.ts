/** One 16-bit float format: fraction bits, smallest normal exponent, largest finite value. */
const FORMATS = {
  bf16: { fraction: 7, minExponent: -126, largest: (2 - 2 ** -7) * 2 ** 127 },
  f16: { fraction: 10, minExponent: -14, largest: 65504 },
} as const;

/** The nearest value of the format, ties to even, found by division and not by bits. */
export function castReference(x: ArrayLike<number>, dtype: keyof typeof FORMATS): Float64Array {
  const { fraction, minExponent, largest } = FORMATS[dtype];
  return Float64Array.from(x, (value) => {
    if (!Number.isFinite(value) || value === 0) return value;
    const exponent = Math.max(Math.floor(Math.log2(Math.abs(value))), minExponent);
    const unit = 2 ** (exponent - fraction);
    const rounded = roundHalfEven(value / unit) * unit;
    return Math.abs(rounded) > largest ? Math.sign(value) * Number.POSITIVE_INFINITY : rounded;
  });
}

function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}
