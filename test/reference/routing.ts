/** Sizes of a routing problem. */
export interface RoutingProblem {
  tokens: number;
  experts: number;
  chosen: number;
  shares: "chosen" | "all";
}

/** The largest logits of each token, and their shares of the softmax, in f64. Of equal logits the first comes first. */
export function routingReference(
  logits: ArrayLike<number>,
  { tokens, experts, chosen, shares }: RoutingProblem,
) {
  const weights = new Float64Array(tokens * chosen);
  const choices = new Uint32Array(tokens * chosen);
  for (let t = 0; t < tokens; t++) {
    const row = Array.from({ length: experts }, (_, e) => logits[t * experts + e] as number);
    const order = row.map((_, e) => e).sort((a, b) => row[b]! - row[a]! || a - b);
    const top = row[order[0]!] as number;
    const taken = order.slice(0, chosen);
    const of = (some: number[]) => some.reduce((sum, e) => sum + Math.exp(row[e]! - top), 0);
    const total = of(shares === "all" ? order : taken);
    taken.forEach((e, k) => {
      weights[t * chosen + k] = Math.exp(row[e]! - top) / total;
      choices[t * chosen + k] = e;
    });
  }
  return { weights, choices };
}

/** For each expert where its choices end, then the choices in the order of their experts. */
export function sortReference(choices: ArrayLike<number>, experts: number): Uint32Array {
  const lists = Array.from({ length: experts }, (): number[] => []);
  for (const [i, expert] of Array.from(choices).entries()) lists[expert]?.push(i);
  let end = 0;
  const ends = lists.map((list) => {
    end += list.length;
    return end;
  });
  return Uint32Array.from([...ends, ...lists.flat()]);
}
