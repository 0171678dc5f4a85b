import { unsupported } from "./component.ts";

/** What a text may become: no published tokenizer makes more than some twenty characters of one. */
const [FACTOR, MORE] = [64, 1024];

/**
 * Checks that a step, or several together, did not blow a text up: a file whose rules double it thirty times would
 * otherwise take all memory there is.
 * @param length characters of the text
 * @param grown of what was made of it, or is about to be
 * @param path the step
 */
export function checkGrowth(length: number, grown: number, path: string): void {
  if (grown > FACTOR * length + MORE) {
    unsupported(path, `making ${grown} characters or more of ${length}`);
  }
}

/** Characters of several texts. */
export function totalLength(texts: Iterable<string>): number {
  let total = 0;
  for (const text of texts) total += text.length;
  return total;
}
