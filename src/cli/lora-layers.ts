import { count } from "./format.ts";

/** A layer of LoRA that was computed from something else. */
export interface LoraLayer {
  readonly path: string;
  readonly r: number;
  /** How far its change is from what was wanted, beside the norm of that. */
  readonly error?: number;
}

/** How many layers there are, and of which ranks. */
export function describeRanks(layers: readonly LoraLayer[]): string {
  const ranks = [...new Set(layers.map(({ r }) => r))].sort((a, b) => a - b);
  const range = ranks.length === 1 ? `${ranks[0]}` : `${ranks[0]} to ${ranks.at(-1)}`;
  return `${count(layers.length)} ${layers.length === 1 ? "layer" : "layers"} of rank ${range}`;
}

/** How far the result is from what was wanted, where that has a meaning and is not nothing. */
export function describeErrors(layers: readonly LoraLayer[]): string[] {
  return describeShares(
    layers,
    (middle, worst, path) =>
      `The change of a layer is off by ${middle} of its norm (median), at most by ${worst} at ${path}.`,
  );
}

/** How far a beginning that was computed again may be from the one that there was. */
export function describeStartErrors(layers: readonly LoraLayer[]): string[] {
  return describeShares(
    layers,
    (middle, worst, path) =>
      `The beginning was computed again; for that, the change of a layer may be off by ${middle} of its norm (median), by ${worst} at ${path}.`,
  );
}

function describeShares(
  layers: readonly LoraLayer[],
  say: (middle: string, worst: string, path: string) => string,
): string[] {
  const known = layers.flatMap(({ path, error }) => (error === undefined ? [] : [{ path, error }]));
  if (known.length === 0 || known.every(({ error }) => error < 1e-6)) return [];
  const sorted = known.toSorted((a, b) => a.error - b.error);
  const [middle, worst] = [sorted[sorted.length >> 1]!, sorted.at(-1)!];
  const share = (error: number) => `${(100 * error).toPrecision(3)} %`;
  return [say(share(middle.error), share(worst.error), worst.path)];
}
