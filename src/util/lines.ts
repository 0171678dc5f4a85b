/**
 * The lines of a text with their ends, as Python's `io.StringIO(text, newline="")` gives them: a line ends with `\n`,
 * `\r\n` or `\r`, and with no other character.
 */
export function* splitLines(text: string): Generator<string> {
  let start = 0;
  let [feed, back] = [text.indexOf("\n"), text.indexOf("\r")];
  while (feed >= 0 || back >= 0) {
    const isBack = back >= 0 && (feed < 0 || back < feed);
    const end = isBack && back + 1 !== feed ? back + 1 : feed + 1;
    yield text.slice(start, end);
    start = end;
    if (isBack) back = text.indexOf("\r", end);
    if (feed >= 0 && feed < end) feed = text.indexOf("\n", end);
  }
  if (start < text.length) yield text.slice(start);
}
