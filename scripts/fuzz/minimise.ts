import { concatBytes } from "../../src/util/bytes.ts";
import type { InputFiles } from "./target.ts";

/** Time for one input, ms: enough for small ones. */
const MOST_MS = 500;

/** The input without files and bytes that it takes nothing from, as far as there is time. */
export async function minimise(
  input: InputFiles,
  isSame: (input: InputFiles) => Promise<boolean>,
): Promise<InputFiles> {
  const end = performance.now() + MOST_MS;
  let best = new Map(input);
  const attempt = async (smaller: Map<string, Uint8Array>) => {
    const holds = await isSame(smaller);
    if (holds) best = smaller;
    return holds;
  };
  for (const name of input.keys()) {
    const without = new Map(best);
    without.delete(name);
    await attempt(without);
  }
  for (const name of best.keys()) {
    for (let size = (best.get(name) as Uint8Array).length >> 1; size >= 1; size >>= 1) {
      for (let at = 0; at < (best.get(name) as Uint8Array).length; ) {
        if (performance.now() > end) return best;
        const bytes = best.get(name) as Uint8Array;
        const rest = concatBytes([bytes.subarray(0, at), bytes.subarray(at + size)]);
        if (!(await attempt(new Map(best).set(name, rest)))) at += size;
      }
    }
  }
  return best;
}
