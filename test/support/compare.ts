/** Root mean square of a vector: the scale against which errors are judged. */
export function rms(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] as number) ** 2;
  return Math.sqrt(sum / Math.max(values.length, 1));
}

/** ‖got − want‖ / ‖want‖. */
export function relativeNormError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  const difference = Array.from({ length: want.length }, (_, i) => (got[i] as number) - (want[i] as number));
  return rms(difference) / Math.max(rms(want), 1e-30);
}

/** Compares element by element; a failure names the largest error, where it is, and the first five mismatches. */
export function firstMismatches(got: ArrayLike<number>, want: ArrayLike<number>, tolerance: number) {
  if (got.length !== want.length) {
    return { pass: false, message: `got ${got.length} values, wanted ${want.length}` };
  }
  // Element errors are judged against the larger of the element and the typical size.
  const scale = Math.max(rms(want), 1e-30);
  let worst = 0;
  let worstAt = 0;
  const lines: string[] = [];
  for (let i = 0; i < want.length; i++) {
    const g = got[i] as number;
    const w = want[i] as number;
    const error = Math.abs(g - w) / Math.max(scale, Math.abs(w));
    if (error <= tolerance) continue;
    if (!(error <= worst)) [worst, worstAt] = [error, i];
    if (lines.length < 5) lines.push(`  [${i}] got ${g}, wanted ${w}`);
  }
  const message = `largest error ${worst} at [${worstAt}] exceeds ${tolerance} (rms ${scale}):\n${lines.join("\n")}`;
  return { pass: lines.length === 0, message };
}
