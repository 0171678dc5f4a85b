/** A matrix, its gradient's running means, and options as in transformers' Adafactor. */
export interface AdafactorMatrix {
  p: Float64Array;
  rows: number;
  columns: number;
  rowSquares: Float64Array;
  columnSquares: Float64Array;
}

/** One step of transformers' `Adafactor` in f64, in place, with `relative_step` and `scale_parameter` off. */
export function adafactorReference(
  { p, rows, columns, rowSquares, columnSquares }: AdafactorMatrix,
  gradients: ArrayLike<number>,
  o: {
    learningRate: number;
    decayRate: number;
    eps: number;
    clipThreshold: number;
    weightDecay: number;
    step: number;
  },
): void {
  const beta2 = 1 - o.step ** o.decayRate;
  const square = (row: number, column: number) => (gradients[row * columns + column] as number) ** 2 + o.eps;
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let column = 0; column < columns; column++) sum += square(row, column);
    rowSquares[row] = beta2 * rowSquares[row]! + ((1 - beta2) * sum) / columns;
  }
  for (let column = 0; column < columns; column++) {
    let sum = 0;
    for (let row = 0; row < rows; row++) sum += square(row, column);
    columnSquares[column] = beta2 * columnSquares[column]! + ((1 - beta2) * sum) / rows;
  }
  const mean = rowSquares.reduce((a, b) => a + b, 0) / rows;
  const update = p.map((_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    return (gradients[i] as number) / Math.sqrt((rowSquares[row]! / mean) * columnSquares[column]!);
  });
  const rms = Math.sqrt(update.reduce((sum, u) => sum + u * u, 0) / update.length);
  for (let i = 0; i < p.length; i++) {
    p[i]! -= o.learningRate * (o.weightDecay * p[i]! + update[i]! / Math.max(1, rms / o.clipThreshold));
  }
}
