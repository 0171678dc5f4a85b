import type { Holding } from "../../gpu/ledger.ts";
import type { Allocation } from "../../gpu/memory.ts";

/** Bytes of one kind. */
export interface MemoryRow {
  /** What they are for: `base`, `adapter`, `gradients`, `optimiser`, `textures`, `activations`, `loss`, `backward`. */
  readonly what: string;
  /** Of activations: what computed them. */
  readonly kind?: string;
  /** With the slack of each buffer. */
  readonly bytes: number;
}

/** Kinds of activations, by the shaders that write them. */
const KINDS: readonly (readonly [shaders: RegExp, kind: string])[] = [
  [/^(matmul|matvec|split-sum|branch|column|dropout)/, "products"],
  [/^attention/, "attention"],
  [/^quantise/, "kept in 8 bits"],
  [/^(rms-norm|layer-norm|row-norms)/, "norms"],
  [/^(activation|gated-activation)/, "activation functions"],
  [/^(elementwise|rope|embedding|rows|patches|swap-axes|cast|pooling|segments)/, "sums and embeddings"],
];

/** The order in which they are told. */
const ORDER = ["base", "adapter", "gradients", "optimiser", "textures", "activations", "loss", "backward"];

/** As they are told: by what they are for, and the largest first. */
export const inOrder = (rows: readonly MemoryRow[]): MemoryRow[] =>
  [...rows].sort((a, b) => ORDER.indexOf(a.what) - ORDER.indexOf(b.what) || b.bytes - a.bytes);

/**
 * Adds up what was held, by what it is for.
 * @param owners whose buffers are known
 */
export function memoryRows(
  holdings: readonly Holding[],
  owners: ReadonlyMap<Allocation, string>,
): MemoryRow[] {
  const rows = new Map<string, MemoryRow>();
  for (const holding of holdings) {
    const what = owners.get(holding.allocation) ?? useOf(holding);
    const kind = what === "activations" ? kindOf(holding) : undefined;
    const key = `${what}/${kind}`;
    const bytes = (rows.get(key)?.bytes ?? 0) + holding.bytes;
    rows.set(key, { what, ...(kind && { kind }), bytes });
  }
  return inOrder([...rows.values()]);
}

function useOf({ phase, writers }: Holding): string {
  if (phase === "base" || phase === "adapter") return phase;
  if (phase === "run") return "optimiser";
  if (writers.some((label) => label.startsWith("cross-entropy"))) return "loss";
  return phase === "forward" ? "activations" : "backward";
}

/** Who wrote to it first, not counting what fills it with zeros. */
function kindOf({ writers }: Holding): string {
  const first = writers.find((label) => !label.startsWith("fill"));
  if (first === undefined) return "inputs";
  return KINDS.find(([shaders]) => shaders.test(first))?.[1] ?? "other";
}
