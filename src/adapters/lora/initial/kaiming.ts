import type { TensorPlan } from "../../method.ts";

/** PyTorch's kaiming_uniform(a = √5) of a matrix, which is U(−1/√columns, 1/√columns). */
export function kaimingUniform(shape: readonly [rows: number, columns: number]): TensorPlan {
  const [rows, columns] = shape;
  const bound = 1 / Math.sqrt(columns);
  return {
    shape,
    begin: (random) =>
      Float32Array.from({ length: rows * columns }, () => bound * (2 * random.uniform() - 1)),
  };
}
