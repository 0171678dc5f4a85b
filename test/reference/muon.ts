import { matmulReference } from "./matmul.ts";

/** torch's `_zeropower_via_newtonschulz` in f64. */
export function orthogonalizeReference(
  x: ArrayLike<number>,
  rows: number,
  columns: number,
  {
    coefficients: [a, b, c],
    steps,
    eps,
  }: { coefficients: readonly [number, number, number]; steps: number; eps: number },
): Float64Array {
  if (rows > columns) {
    const turned = orthogonalizeReference(turn(x, rows, columns), columns, rows, {
      coefficients: [a, b, c],
      steps,
      eps,
    });
    return turn(turned, columns, rows);
  }
  const norm = Math.max(Math.hypot(...Array.from(x)), eps);
  let y = Float64Array.from(x, (value) => value / norm);
  for (let step = 0; step < steps; step++) {
    const gram = matmulReference(y, y, { m: rows, n: rows, k: columns, layout: "NT" });
    const square = matmulReference(gram, gram, { m: rows, n: rows, k: rows, layout: "NN" });
    const polynomial = Float64Array.from(gram, (value, i) => b * value + c * square[i]!);
    const product = matmulReference(polynomial, y, { m: rows, n: columns, k: rows, layout: "NN" });
    y = y.map((value, i) => a * value + product[i]!);
  }
  return y;
}

function turn(x: ArrayLike<number>, rows: number, columns: number): Float64Array {
  const turned = new Float64Array(rows * columns);
  for (let i = 0; i < turned.length; i++)
    turned[(i % columns) * rows + Math.floor(i / columns)] = x[i] as number;
  return turned;
}

/** One step of torch.optim.Muon in f64, in place, for one matrix. */
export function muonReference(
  { p, m, rows, columns }: { p: Float64Array; m: Float64Array; rows: number; columns: number },
  gradients: ArrayLike<number>,
  o: Parameters<typeof orthogonalizeReference>[3] & {
    learningRate: number;
    momentum: number;
    nesterov: boolean;
    weightDecay: number;
  },
): void {
  const update = p.map((_, i) => {
    const g = gradients[i] as number;
    m[i] = o.momentum * m[i]! + (1 - o.momentum) * g;
    return o.nesterov ? (1 - o.momentum) * g + o.momentum * m[i]! : m[i]!;
  });
  const orthogonal = orthogonalizeReference(update, rows, columns, o);
  const rate = o.learningRate * Math.sqrt(Math.max(1, rows / columns));
  for (let i = 0; i < p.length; i++) {
    p[i] = p[i]! * (1 - o.learningRate * o.weightDecay) - rate * orthogonal[i]!;
  }
}
