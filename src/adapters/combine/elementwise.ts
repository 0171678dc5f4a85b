/** What becomes of values before they are added up. */
export interface ElementRule {
  /** `magnitude` keeps the largest, `random` keeps some by chance and divides them by their share. */
  readonly prune?: "magnitude" | "random" | undefined;
  /** Of each element only the values of the sign that wins the vote count, and their mean is taken (TIES). */
  readonly elects?: boolean | undefined;
}

/** How the sign of an element is voted on: by the sum of the values, or by how many there are of each sign. */
export type MajoritySign = "total" | "frequency";

/** What the rules need beside the values. */
export interface ElementOptions {
  /** Share of the values that is kept, above 0 and at most 1. */
  readonly density: number;
  readonly majoritySign: MajoritySign;
  /** Draws which of so many values are kept: 1 is kept, 0 is not. */
  readonly draw: (length: number) => Uint8Array;
}

/**
 * Combines tensors element by element, as `utils/merge_utils.py` of PEFT 0.21 does: TIES (arXiv 2306.01708), DARE
 * (arXiv 2311.03099), pruning by magnitude, or the plain weighted sum. The vote is on the pruned values without weights.
 * @param tensors of one length
 * @param weights one for each tensor
 */
export function combineElements(
  tensors: readonly Float32Array[],
  weights: readonly number[],
  { prune, elects }: ElementRule,
  options: ElementOptions,
): Float32Array {
  const pruned = tensors.map((tensor) => (prune === undefined ? tensor : PRUNE[prune](tensor, options)));
  const result = new Float32Array(tensors[0]?.length ?? 0);
  for (let i = 0; i < result.length; i++)
    result[i] = elects
      ? electedMean(pruned, weights, i, options.majoritySign)
      : pruned.reduce((sum, tensor, t) => sum + tensor[i]! * weights[t]!, 0);
  return result;
}

function electedMean(
  tensors: readonly Float32Array[],
  weights: readonly number[],
  i: number,
  method: MajoritySign,
): number {
  let vote = 0;
  for (const tensor of tensors) vote += method === "total" ? tensor[i]! : Math.sign(tensor[i]!);
  const winner = vote >= 0 ? 1 : -1;
  let [sum, count] = [0, 0];
  for (const [t, tensor] of tensors.entries()) {
    if (Math.sign(tensor[i]!) !== winner) continue;
    sum += tensor[i]! * weights[t]!;
    count++;
  }
  return sum / Math.max(count, 1);
}

const PRUNE = { magnitude: pruneByMagnitude, random: pruneByChance } as const;

function pruneByMagnitude(tensor: Float32Array, { density }: ElementOptions): Float32Array {
  if (density >= 1) return tensor;
  const count = Math.trunc(density * tensor.length);
  const magnitudes = tensor.map(Math.abs).sort();
  const least = magnitudes[tensor.length - count] ?? Infinity;
  let ties = count - (tensor.length - firstAbove(magnitudes, least)); // how many of the least ones there is room for
  return tensor.map((value) => {
    const magnitude = Math.abs(value);
    if (magnitude > least) return value;
    return magnitude === least && ties-- > 0 ? value : 0;
  });
}

/** The place of the first value above a bound in ascending values. */
function firstAbove(ascending: Float32Array, bound: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! > bound) high = middle;
    else low = middle + 1;
  }
  return low;
}

function pruneByChance(tensor: Float32Array, { density, draw }: ElementOptions): Float32Array {
  if (density >= 1) return tensor;
  const kept = draw(tensor.length);
  return tensor.map((value, i) => (value * kept[i]!) / density);
}
