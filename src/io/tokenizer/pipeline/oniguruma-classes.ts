/**
 * Names of characters' properties as Oniguruma 6.9 knows them, in JavaScript's notation: what may stand inside a class
 * (`[…]`) under the flag `v`. Each was compared with Oniguruma over all code points (`scripts/tokenizers`).
 */

const hex = (codePoint: number) => codePoint.toString(16);

/** A character as it may stand anywhere in an expression, inside and outside a class. */
export function quoted(character: string): string {
  return /^[0-9A-Za-z]$/.test(character) ? character : `\\u{${hex(character.codePointAt(0) ?? 0)}}`;
}

const WHITE_SPACE = "\\p{White_Space}";
// The superscripts and fractions of Latin-1 are no letters, digits or marks; Oniguruma counts them all the same.
const WORD = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\xb2\\xb3\\xb9\\xbc-\\xbe]";
const HEX_DIGIT = "[0-9A-Fa-f]";
const PUNCTUATION_AND_SYMBOLS = "[\\p{P}\\p{S}]";
const GRAPH = "[^\\p{Cc}\\p{Cn}\\p{Cs}\\p{White_Space}]";

/** `\d`, `\h`, `\s` and `\w`. */
export const SHORTHANDS: Readonly<Record<string, string>> = {
  d: "\\p{Nd}",
  h: HEX_DIGIT,
  s: WHITE_SPACE,
  w: WORD,
};

/** What `[[:name:]]` and `\p{name}` share. */
const POSIX: Readonly<Record<string, string>> = {
  alnum: "[\\p{Alphabetic}\\p{Nd}]",
  alpha: "\\p{Alphabetic}",
  ascii: "[\\0-\\x7f]",
  blank: "[\\p{Zs}\\t]",
  cntrl: "\\p{Cc}",
  digit: "\\p{Nd}",
  graph: GRAPH,
  lower: "\\p{Lowercase}",
  print: "[^\\p{Cc}\\p{Cn}\\p{Cs}\\p{Zl}\\p{Zp}]",
  space: WHITE_SPACE,
  upper: "\\p{Uppercase}",
  word: WORD,
  xdigit: HEX_DIGIT,
};

/** `[[:name:]]`. */
export function posixClass(name: string): string | undefined {
  if (name === "punct") return PUNCTUATION_AND_SYMBOLS;
  return Object.hasOwn(POSIX, name) ? POSIX[name] : undefined;
}

const CATEGORIES = [
  ...["C", "Cc", "Cf", "Cn", "Co", "Cs", "L", "LC", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn"],
  ...["N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So"],
  ...["Z", "Zl", "Zp", "Zs", "Letter", "Mark", "Number", "Punctuation", "Symbol", "Separator", "Other"],
  ...["Uppercase_Letter", "Lowercase_Letter", "Titlecase_Letter", "Modifier_Letter", "Other_Letter"],
  ...["Nonspacing_Mark", "Spacing_Mark", "Enclosing_Mark", "Decimal_Number", "Letter_Number", "Other_Number"],
];
const BINARY = ["Alphabetic", "Emoji", "Extended_Pictographic", "Lowercase", "Uppercase", "White_Space"];
const SCRIPTS = [
  ...["Arabic", "Armenian", "Bengali", "Bopomofo", "Common", "Cyrillic", "Devanagari", "Ethiopic"],
  ...["Georgian", "Greek", "Gujarati", "Gurmukhi", "Han", "Hangul", "Hebrew", "Hiragana", "Inherited"],
  ...["Kannada", "Katakana", "Khmer", "Lao", "Latin", "Malayalam", "Mongolian", "Myanmar", "Oriya"],
  ...["Sinhala", "Tamil", "Telugu", "Thai", "Tibetan"],
];

const plain = (name: string) => name.toLowerCase().replace(/[ _-]/g, "");
const PROPERTIES: ReadonlyMap<string, string> = new Map([
  ...Object.entries(POSIX),
  ["any", "[\\0-\\u{10ffff}]"],
  ["punct", "\\p{P}"],
  ...CATEGORIES.map((name) => [plain(name), `\\p{${name}}`] as const),
  ...BINARY.map((name) => [plain(name), `\\p{${name}}`] as const),
  ...SCRIPTS.map((name) => [plain(name), `\\p{Script=${name}}`] as const),
]);

/** `\p{name}`: case, spaces, `-` and `_` don't count. */
export function property(name: string): string | undefined {
  return PROPERTIES.get(plain(name));
}

/** The letters outside ASCII that are the same as one of ASCII where case doesn't count. */
const FOLDED: Readonly<Record<string, string>> = { k: "\u212a", s: "\u017f" };

/** All spellings of a character where case doesn't count; undefined where that isn't known to be exact. */
export function caseVariants(character: string): string[] | undefined {
  if (/[A-Za-z]/.test(character) && character.length === 1) {
    const lower = character.toLowerCase();
    return [lower, lower.toUpperCase(), ...(FOLDED[lower] ?? "")];
  }
  const hasCase = /[\p{Changes_When_Casefolded}\p{Changes_When_Casemapped}]/u.test(character);
  return hasCase ? undefined : [character];
}

/** Letters that, where case doesn't count, Oniguruma also takes for one character ("ß", "ﬁ", "ﬆ"). */
export const LIGATURES = /ss|ff|fi|fl|st/i;
