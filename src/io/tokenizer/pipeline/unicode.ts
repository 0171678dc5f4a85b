import { NEWER_THAN_NORMALIZATION, NEWER_THAN_PATTERNS } from "./unicode-tables.ts";

/** The inside of a class (`[…]`, flag `v`) with the code points of a table of `unicode-tables.ts`. */
export function tableClass(table: string): string {
  let last = 0;
  const ranges = table.split(" ").map((range) => {
    const [gap = 0, length = 0] = range.split(".").map((digits) => Number.parseInt(digits, 36));
    const first = last + gap;
    last = first + length;
    return `\\u{${first.toString(16)}}-\\u{${last.toString(16)}}`;
  });
  return ranges.join("");
}

/** Rust's `char::is_whitespace`: U+0085 is one, U+FEFF and U+200B are none. */
export const WHITE_SPACE = "\\p{White_Space}";

/** `\w` of Rust's `regex`: unlike JavaScript's all letters, marks, digits, joiners and connectors. */
export const WORD = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d";

const NEWER_IN_PATTERNS = new RegExp(`[\\u0295${tableClass(NEWER_THAN_PATTERNS)}]`, "gv");

/**
 * A text of the same length for the Rust library's expressions, whose tables are of Unicode 16: a character that came
 * later is replaced by one that has no properties, "ʕ" (a lowercase letter until then) by its neighbour, which is one.
 */
export function asOfUnicode16(text: string): string {
  return text.replace(NEWER_IN_PATTERNS, (character) =>
    character === "\u0295" ? "\u0296" : character.length === 1 ? "\u0378" : "\u{1fffe}",
  );
}

export type NormalForm = "NFC" | "NFD" | "NFKC" | "NFKD";

const NEWER_IN_NORMALIZATION = new RegExp(`([${tableClass(NEWER_THAN_NORMALIZATION)}])`, "gv");

/** A normal form as Unicode 9 had it: what came later neither changes nor combines. */
export function normalForm(text: string, form: NormalForm): string {
  const parts = text.split(NEWER_IN_NORMALIZATION);
  return parts.map((part, i) => (i % 2 === 0 ? part.normalize(form) : part)).join("");
}

/** Each character's lowercase without its context: a "Σ" is "σ" also where a word ends. */
export function lowercase(text: string): string {
  return text
    .split("Σ")
    .map((part) => part.toLowerCase())
    .join("σ");
}
