/** Nearest f16, ties to even. */
export function toHalf(x: number): number {
  if (x === 0) return x;
  const unit = 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(x)))) - 10);
  const [steps, below] = [x / unit, Math.floor(x / unit)];
  const isTie = steps - below === 0.5;
  return (isTie ? below + (Math.abs(below) % 2) : Math.round(steps)) * unit;
}
