/** Index of the first character from `at` on that is no blank of JSON. */
export function skipBlanks(text: string, at: number): number {
  let end = at;
  while (end < text.length && " \t\n\r".includes(text[end] as string)) end++;
  return end;
}

/** Index after the closing quote of the string that opens at `at`; the text's end where it does not close. */
export function endOfString(text: string, at: number): number {
  let end = text.indexOf('"', at + 1);
  while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end < 0 ? text.length : end + 1;
}

/** Whether an odd number of backslashes stands before a character. */
function isEscaped(text: string, at: number): boolean {
  let start = at;
  while (text.charCodeAt(start - 1) === BACKSLASH) start--;
  return (at - start) % 2 === 1;
}

const BACKSLASH = 0x5c;
