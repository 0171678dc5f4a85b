/**
 * The lines of a text with their ends, as Python's `io.StringIO(text, newline="")` gives them: a line ends with `\n`,
 * `\r\n` or `\r`, and with no other character.
 */
export function* splitLines(text: string): Generator<string> {
  let start = 0;
  for (const { index, 0: end } of text.matchAll(/\r\n?|\n/g)) {
    const next = index + end.length;
    yield text.slice(start, next);
    start = next;
  }
  if (start < text.length) yield text.slice(start);
}
