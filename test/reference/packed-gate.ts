import { activations } from "./activation.ts";

/** How gates and ups lie in a row of `2 columns` values. */
export interface PackedGateProblem {
  columns: number;
  activation: keyof typeof activations;
  layout: "halves" | "pairs";
  limit: number;
}

/** act(gate) · up, in f64; with a limit act(min(gate, limit)) · (clamp(up) + 1). */
export function packedGateReference(
  x: ArrayLike<number>,
  { columns, activation, layout, limit }: PackedGateProblem,
): Float64Array {
  return Float64Array.from({ length: x.length / 2 }, (_, i) => {
    const start = Math.floor(i / columns) * 2 * columns;
    const column = i % columns;
    const [at, other] = layout === "pairs" ? [2 * column, 2 * column + 1] : [column, columns + column];
    const [gate, up] = [x[start + at] as number, x[start + other] as number];
    if (limit === 0) return activations[activation](gate) * up;
    return activations[activation](Math.min(gate, limit)) * (Math.max(-limit, Math.min(up, limit)) + 1);
  });
}
