/** Where and how far x is rotated. */
export interface RopeCase {
  /** `[batch, tokens, heads, headDim]`. */
  shape: readonly [number, number, number, number];
  /** Radians per position of each pair. */
  frequencies: ArrayLike<number>;
  /** Of the tokens, row by row. */
  positions: ArrayLike<number>;
}

/** x·cos + rotate_half(x)·sin on the leading dimensions, as transformers writes it, in f64. */
export function ropeReference(
  x: ArrayLike<number>,
  { shape, frequencies, positions }: RopeCase,
): Float64Array {
  const [, , heads, cols] = shape;
  const half = frequencies.length;
  return Float64Array.from(x, (value, i) => {
    const dim = i % cols;
    if (dim >= 2 * half) return value;
    const position = positions[Math.floor(i / (cols * heads))] as number;
    const angle = position * (frequencies[dim % half] as number);
    const partner = dim < half ? -(x[i + half] as number) : (x[i - half] as number);
    return value * Math.cos(angle) + partner * Math.sin(angle);
  });
}
