// Python's `str` where JavaScript's strings do something else: they count UTF-16 units, and know other white space.

/** White space of `str.isspace`, to stand in a class of a regular expression. */
export const PYTHON_SPACE =
  "\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const SPACE = new RegExp(`^[${PYTHON_SPACE}]$`);
const SPACES = new RegExp(`[${PYTHON_SPACE}]+`, "g");
const SURROGATE = /[\ud800-\udfff]/;

/** The characters of a text, each a code point. */
export function characters(text: string): readonly string[] {
  return SURROGATE.test(text) ? Array.from(text) : text.split("");
}

/** Python's `len`. */
export function lengthOf(text: string): number {
  return SURROGATE.test(text) ? Array.from(text).length : text.length;
}

/** Which ends of a text. */
export interface Ends {
  readonly left: boolean;
  readonly right: boolean;
}

/** `strip`, `lstrip` and `rstrip`: takes characters of `from` away, white space where there is none. */
export function strip(text: string, { left, right }: Ends, from?: string): string {
  const gone = from === undefined ? undefined : new Set(characters(from));
  const isGone = (character: string) => gone?.has(character) ?? SPACE.test(character);
  const all = characters(text);
  let [start, end] = [0, all.length];
  while (left && start < end && isGone(all[start] as string)) start++;
  while (right && end > start && isGone(all[end - 1] as string)) end--;
  return all.slice(start, end).join("");
}

/** `split` at white space, or at a separator; `most` cuts at most, −1 for all. */
export function split(text: string, separator: string | undefined, most: number): string[] {
  if (separator !== undefined) {
    const parts = text.split(separator);
    return most < 0 || parts.length <= most + 1
      ? parts
      : [...parts.slice(0, most), parts.slice(most).join(separator)];
  }
  const rest = strip(text, { left: true, right: most < 0 });
  if (rest === "") return [];
  if (most < 0) return rest.split(SPACES);
  const parts: string[] = [];
  let start = 0;
  for (const match of rest.matchAll(SPACES)) {
    if (parts.length === most) break;
    parts.push(rest.slice(start, match.index));
    start = match.index + match[0].length;
  }
  return start < rest.length ? [...parts, rest.slice(start)] : parts;
}

/** `rsplit`: the cuts are the last ones. */
export function splitFromEnd(text: string, separator: string | undefined, most: number): string[] {
  const reversed = (value: string) => characters(value).toReversed().join("");
  const parts = split(reversed(text), separator && reversed(separator), most);
  return parts.map(reversed).toReversed();
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the separators of files, groups and records end a line
const LINE_END = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;

/** `splitlines`. */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = [];
  let start = 0;
  for (const { index, 0: end } of text.matchAll(LINE_END)) {
    lines.push(text.slice(start, index) + (keepEnds ? end : ""));
    start = index + end.length;
  }
  return start < text.length ? [...lines, text.slice(start)] : lines;
}

/** `replace`: `most` times at most, −1 for all. */
export function replace(text: string, old: string, by: string, most: number): string {
  if (most === 0) return text;
  const parts = old === "" ? ["", ...characters(text), ""] : text.split(old);
  if (most < 0 || parts.length <= most + 1) return parts.join(by);
  return [...parts.slice(0, most), parts.slice(most).join(old)].join(by);
}

/** How often a text is in another, without overlap. */
export function countOf(text: string, part: string): number {
  return part === "" ? lengthOf(text) + 1 : text.split(part).length - 1;
}

const LETTER = /\p{L}/u;

/** `title`: a letter behind a letter is small, any other is large. */
export function title(text: string): string {
  let before = "";
  return characters(text)
    .map((character) => {
      const changed = LETTER.test(before) ? character.toLowerCase() : large(character);
      before = character;
      return changed;
    })
    .join("");
}

/** `capitalize`: the first character is large, the others are small. */
export function capitalize(text: string): string {
  const [first = "", ...rest] = characters(text);
  return large(first) + rest.join("").toLowerCase();
}

/** A character at the beginning of a word: of one that becomes two, such as ß, the second stays small. */
function large(character: string): string {
  const [first = "", ...rest] = characters(character.toUpperCase());
  return first + rest.join("").toLowerCase();
}

/** Whether there are letters, all of which are as `change` makes them. */
export function isCased(text: string, change: (text: string) => string): boolean {
  return change(text) === text && text.toLowerCase() !== text.toUpperCase();
}
