/** Images `[B, C, H, W]` as patches `[B, N, C·P·P]`, by six nested loops. */
export function patchesReference(
  x: ArrayLike<number>,
  [batch, channels, height, width]: readonly [number, number, number, number],
  P: number,
): Float64Array {
  const y: number[] = [];
  for (let b = 0; b < batch; b++)
    for (let py = 0; py < height; py += P)
      for (let px = 0; px < width; px += P)
        for (let c = 0; c < channels; c++)
          for (let i = 0; i < P; i++)
            for (let j = 0; j < P; j++)
              y.push(x[((b * channels + c) * height + py + i) * width + px + j] as number);
  return Float64Array.from(y);
}
