/** How a value is drawn, with a number in [0, 1). */
export interface ReferenceChoice {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  uniform?: number;
}

/**
 * The index that is drawn, by f64 sums over all values in order, and the part `[from, to]` of what may be drawn that each index has: a
 * uniform number close to its ends may as well give a neighbour.
 * @param seen indices to which the penalty applies
 */
export function choiceReference(
  x: readonly number[],
  choice: ReferenceChoice,
  seen: readonly number[] = [],
): { index: number; parts: ReadonlyMap<number, readonly [from: number, to: number]> } {
  const { temperature = 0, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1, uniform = 0 } = choice;
  const scores = x.map((s, i) =>
    seen.includes(i) ? (s > 0 ? s / repetitionPenalty : s * repetitionPenalty) : s,
  );
  const order = scores.map((_, i) => i).sort((a, b) => scores[b]! - scores[a]! || a - b);
  const top = order[0]!;
  if (temperature === 0) return { index: top, parts: new Map([[top, [0, 1]]]) };
  const weight = (i: number) => Math.exp((scores[i]! - scores[top]!) / temperature);
  const sum = (of: readonly number[]) => of.reduce((all, i) => all + weight(i), 0);
  const last = topK > 0 && topK < order.length ? scores[order[topK - 1]!]! : Number.NEGATIVE_INFINITY;
  const likely = order.filter((i) => scores[i]! >= last);
  const goal = topP * sum(likely);
  let reached = 0;
  const nucleus = likely.filter((i) => {
    const isIn = topP === 1 || reached < goal;
    reached += weight(i);
    return isIn;
  });
  const kept = nucleus.filter((i) => weight(i) >= minP && weight(i) > 0);
  const total = sum(kept);
  let from = 0;
  const parts = new Map<number, readonly [number, number]>();
  for (const index of kept) {
    const to = from + weight(index) / total;
    parts.set(index, [from, to]);
    from = to;
  }
  const drawn = kept.find((index) => uniform < parts.get(index)![1]);
  return { index: drawn ?? kept.at(-1)!, parts };
}
