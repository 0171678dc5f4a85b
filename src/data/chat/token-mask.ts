import type { TextSpan } from "../../io/jinja/output.ts";

/**
 * Which tokens stand, wholly or in part, in one of some spans of a text.
 * @param offsets of each token in the text, in order
 * @param spans in order
 */
export function tokensInSpans(offsets: readonly TextSpan[], spans: readonly TextSpan[]): boolean[] {
  const filled = spans.filter(([start, end]) => start < end);
  let next = 0;
  return offsets.map(([start, end]) => {
    while (next < filled.length && (filled[next]?.[1] ?? 0) <= start) next++;
    const span = filled[next];
    // A token without a text of its own, such as a space that the tokenizer puts in, is where it stands.
    return span !== undefined && span[0] < Math.max(end, start + 1) && start < span[1];
  });
}
