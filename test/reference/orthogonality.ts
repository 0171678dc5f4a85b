/** ‖x xᵀ − I‖ of the rows of x `[rows, columns]`, or of xᵀ, in f64. */
export function orthogonalityReference(x: ArrayLike<number>, rows: number, of: "rows" | "columns"): number {
  const columns = x.length / rows;
  const [n, m] = of === "rows" ? [rows, columns] : [columns, rows];
  const at = (i: number, k: number) => x[of === "rows" ? i * columns + k : k * columns + i]!;
  let sum = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let value = i === j ? -1 : 0;
      for (let k = 0; k < m; k++) value += at(i, k) * at(j, k);
      sum += value * value;
    }
  }
  return Math.sqrt(sum);
}
