/**
 * What a screen obeys or hides: control characters (C0, C1, DEL), formatting such as a change of direction, line
 * separators and halves of surrogate pairs. Joiners are left: words of several scripts, and emoji, need them.
 */
const UNPRINTABLE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;

/** Text as it can stand in one line on a screen, whoever wrote it: what a screen would obey is escaped as in JSON. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escaped);
}

/** Text of several lines as a screen may show it: as {@link printable}, but line ends and tabs are left. */
export function printableText(text: string): string {
  return text.replace(UNPRINTABLE, (character) =>
    character === "\n" || character === "\t" ? character : escaped(character),
  );
}

const SHORT: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

function escaped(character: string): string {
  const units = character.split("").map((unit) => unit.charCodeAt(0).toString(16).padStart(4, "0"));
  return SHORT.get(character) ?? units.map((unit) => `\\u${unit}`).join("");
}
