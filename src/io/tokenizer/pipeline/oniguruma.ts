import { caseVariants, LIGATURES, posixClass, property, quoted, SHORTHANDS } from "./oniguruma-classes.ts";

/** An expression, or a part of one, that isn't translated. */
export class UntranslatedError extends Error {}

/**
 * The JavaScript expression that matches what Oniguruma's (Ruby syntax, as the Rust library compiles it) does.
 * Both try alternatives in the same order and backtrack, so that equal parts give equal matches.
 * @throws UntranslatedError for what has no exact translation here, or is no expression
 */
export function translateOniguruma(source: string): RegExp {
  const reader = new ExpressionReader(source);
  const translated = reader.alternatives({ ignoreCase: false, dotAll: false });
  if (!reader.atEnd) reader.refuse('a ")" without "("');
  try {
    return new RegExp(translated, "gv");
  } catch {
    return reader.refuse("it");
  }
}

interface Flags {
  ignoreCase: boolean;
  /** Ruby's `m`: a dot is also a line break. */
  dotAll: boolean;
}

/** Escapes that mean the same alone and in a class. */
const CONTROLS: Readonly<Record<string, string>> = {
  a: "\x07",
  e: "\x1b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};
const ANY = "[\\0-\\u{10ffff}]";
const WORD_BOUNDARY = `(?:(?<=${SHORTHANDS.w})(?!${SHORTHANDS.w})|(?<!${SHORTHANDS.w})(?=${SHORTHANDS.w}))`;
const ANCHORS: Readonly<Record<string, string>> = {
  A: `(?<!${ANY})`,
  z: `(?!${ANY})`,
  Z: `(?=\\n?(?!${ANY}))`,
  b: WORD_BOUNDARY,
  B: `(?!${WORD_BOUNDARY})`,
};
/** `^` and `$` are of lines; behind a line break that ends the text begins no line. */
const LINE_BEGIN = `(?:(?<!${ANY})|(?<=\\n)(?=${ANY}))`;
const LINE_END = `(?=\\n|(?!${ANY}))`;

/** A piece of the translation: what a quantifier would repeat. */
interface Atom {
  source: string;
  /** False for places between characters, which can't be repeated. */
  repeats: boolean;
}

class ExpressionReader {
  private readonly characters: readonly string[];
  private position = 0;
  private atomicGroups = 0;
  private lookbehinds = 0;

  constructor(source: string) {
    this.characters = [...source];
  }

  get atEnd(): boolean {
    return this.position >= this.characters.length;
  }

  refuse(what: string): never {
    throw new UntranslatedError(`${what}, character ${Math.min(this.position, this.characters.length)}`);
  }

  /** Reads up to the end of the group. */
  alternatives(flags: Flags): string {
    const choices = [this.sequence(flags)];
    while (this.take("|")) choices.push(this.sequence(flags));
    return choices.join("|");
  }

  private sequence(flags: Flags): string {
    const start = this.position;
    let sequence = "";
    while (!this.atEnd && !this.sees("|") && !this.sees(")")) sequence += this.term(flags);
    if (flags.ignoreCase && LIGATURES.test(this.since(start))) {
      this.refuse('"ss", "ff", "fi", "fl" or "st" where case does not count');
    }
    return sequence;
  }

  private term(flags: Flags): string {
    let { source, repeats } = this.atom(flags);
    for (let quantifier = this.quantifier(); quantifier; quantifier = this.quantifier()) {
      if (!repeats) this.refuse("a quantifier behind an anchor");
      source = `(?:${source})${quantifier.source}`;
      if (quantifier.possessive) source = this.atomic(source);
    }
    return source;
  }

  private quantifier(): { source: string; possessive: boolean } | undefined {
    const simple = ["*", "+", "?"].find((mark) => this.take(mark));
    if (simple) {
      if (this.take("+")) return { source: simple, possessive: true };
      return { source: simple + (this.take("?") ? "?" : ""), possessive: false };
    }
    const interval = /^\{(\d*)(,?)(\d*)\}/.exec(this.ahead(24));
    const [text = "", least = "", comma = "", most = ""] = interval ?? [];
    // Without a number it is no interval but text.
    if (least + most === "") return undefined;
    this.position += text.length;
    if (Number(most || least || 0) > 1000 || (most !== "" && Number(least) > Number(most))) {
      this.refuse(`the interval ${text}`);
    }
    if (comma === "" && this.sees("?")) this.refuse(`the interval ${text}?`);
    const source = `{${least || "0"}${comma}${most}}`;
    return { source: source + (comma && this.take("?") ? "?" : ""), possessive: false };
  }

  private atom(flags: Flags): Atom {
    const character = this.next();
    switch (character) {
      case "(":
        return this.group(flags);
      case "[":
        return { source: this.characterClass(flags), repeats: true };
      case "\\":
        return this.escape(flags);
      case ".":
        return { source: flags.dotAll ? ANY : "[^\\n]", repeats: true };
      case "^":
        return { source: LINE_BEGIN, repeats: false };
      case "$":
        return { source: LINE_END, repeats: false };
      case "*":
      case "+":
      case "?":
        return this.refuse("a quantifier behind nothing");
      default:
        return { source: this.literal(character, flags), repeats: true };
    }
  }

  private literal(character: string, flags: Flags): string {
    if (!flags.ignoreCase) return quoted(character);
    const variants = caseVariants(character) ?? this.refuse(`"${character}" where case does not count`);
    return variants.length === 1 ? quoted(character) : `[${variants.map(quoted).join("")}]`;
  }

  private group(flags: Flags): Atom {
    if (!this.take("?")) return this.rest("(?:", flags);
    for (const lookahead of ["=", "!"]) {
      if (this.take(lookahead)) return { ...this.rest(`(?${lookahead}`, flags), repeats: false };
    }
    for (const lookbehind of ["<=", "<!"]) {
      if (!this.take(lookbehind)) continue;
      this.lookbehinds++;
      const group = this.rest(`(?${lookbehind}`, flags);
      this.lookbehinds--;
      return { ...group, repeats: false };
    }
    if (this.take(":")) return this.rest("(?:", flags);
    if (this.take(">")) return { source: this.atomic(this.rest("(?:", flags).source), repeats: true };
    return this.options(flags);
  }

  /** `(?i)`, `(?i:…)`, `(?m-i:…)`. Without a colon the options hold to the end of the group, alternatives and all. */
  private options(flags: Flags): Atom {
    const start = this.position;
    const [text, on = "", off = "", end] = /^([im]*)(?:-([im]*))?([:)])/.exec(this.ahead(8)) ?? [];
    if (text === undefined) return this.refuse(`the group (?${this.ahead(2)}`);
    this.position += text.length;
    const set = (name: string, before: boolean) =>
      off.includes(name) ? false : on.includes(name) ? true : before;
    const inner = { ignoreCase: set("i", flags.ignoreCase), dotAll: set("m", flags.dotAll) };
    if (end === ":") return this.rest("(?:", inner);
    if (start !== 2) this.refuse(`(?${text} in the middle`);
    return { source: `(?:${this.alternatives(inner)})`, repeats: false };
  }

  private rest(opening: string, flags: Flags): Atom {
    const inside = this.alternatives(flags);
    if (!this.take(")")) this.refuse('a "(" without ")"');
    return { source: `${opening}${inside})`, repeats: true };
  }

  /** What has matched once is not tried another way: JavaScript's lookahead is atomic, the reference takes its text. */
  private atomic(source: string): string {
    if (this.lookbehinds > 0) this.refuse("an atomic group or possessive quantifier in a lookbehind");
    const name = `atomic${this.atomicGroups++}`;
    return `(?:(?=(?<${name}>${source}))\\k<${name}>)`;
  }

  private escape(flags: Flags): Atom {
    const anchor = Object.hasOwn(ANCHORS, this.ahead(1)) ? ANCHORS[this.next()] : undefined;
    if (anchor !== undefined) return { source: anchor, repeats: false };
    if (this.take("R"))
      return { source: this.atomic("(?:\\r\\n|[\\n-\\r\\x85\\u2028\\u2029])"), repeats: true };
    const set = this.shorthand(flags);
    if (set !== undefined) return { source: set, repeats: true };
    return { source: this.literal(this.escapedCharacter(), flags), repeats: true };
  }

  /** `\d`, `\W`, `\p{…}` and their like, behind the backslash; undefined where it is something else. */
  private shorthand(flags: Flags): string | undefined {
    const letter = this.ahead(1);
    const lower = letter.toLowerCase();
    if (Object.hasOwn(SHORTHANDS, lower)) {
      this.position++;
      return letter === lower ? SHORTHANDS[lower] : `[^${SHORTHANDS[lower]}]`;
    }
    if (lower !== "p") return undefined;
    const [text = "", negated = "", name = ""] = /^[pP]\{(\^?)([\w -]+)\}/.exec(this.ahead(64)) ?? [];
    const set = property(name) ?? this.refuse(`\\${text || letter}`);
    if (flags.ignoreCase) this.refuse(`\\${text} where case does not count`);
    this.position += text.length;
    return (letter === "P") !== (negated !== "") ? `[^${set}]` : set;
  }

  /** A single character behind a backslash. */
  private escapedCharacter(): string {
    const letter = this.next();
    const control = Object.hasOwn(CONTROLS, letter) ? CONTROLS[letter] : undefined;
    if (control !== undefined) return control;
    if (letter === "x" || letter === "u") {
      const pattern = letter === "u" ? /^[0-9A-Fa-f]{4}/ : /^(?:\{[0-9A-Fa-f]{1,6}\}|[0-7][0-9A-Fa-f])/;
      const [digits = this.refuse(`\\${letter}`)] = pattern.exec(this.ahead(8)) ?? [];
      this.position += digits.length;
      const codePoint = Number.parseInt(digits.replace(/[{}]/g, ""), 16);
      const isCharacter = codePoint <= 0x10ffff && (codePoint < 0xd800 || codePoint > 0xdfff);
      return isCharacter ? String.fromCodePoint(codePoint) : this.refuse(`\\${letter}${digits}`);
    }
    return /[0-9A-Za-z]/.test(letter) ? this.refuse(`\\${letter}`) : letter;
  }

  /** A class behind its "[": unions, ranges, classes inside, `&&`. */
  private characterClass(flags: Flags): string {
    const negated = this.take("^");
    const operands: string[] = [];
    let operand = "";
    if (this.sees("]")) this.refuse('a class that begins with "]"');
    while (!this.take("]")) {
      if (this.atEnd) this.refuse('a "[" without "]"');
      if (this.take("&&")) {
        operands.push(`[${operand}]`);
        operand = "";
      } else operand += this.classItem(flags);
    }
    if (operands.length === 0) return `[${negated ? "^" : ""}${operand}]`;
    return `[${negated ? "^" : ""}${[...operands, `[${operand}]`].join("&&")}]`;
  }

  private classItem(flags: Flags): string {
    const [posix, negated = "", name = ""] = /^\[:(\^?)(\w+):\]/.exec(this.ahead(20)) ?? [];
    if (posix !== undefined) {
      const set = posixClass(name) ?? this.refuse(posix);
      if (flags.ignoreCase) this.refuse(`${posix} where case does not count`);
      this.position += posix.length;
      return negated ? `[^${set}]` : set;
    }
    if (this.take("[")) return this.characterClass(flags);
    if (this.sees("\\")) {
      this.position++;
      const set = this.shorthand(flags);
      if (set !== undefined) return set;
      this.position--;
    }
    const first = this.classCharacter();
    if (!this.sees("-") || this.ahead(2) === "-]") return this.classRange(first, first, flags);
    this.position++;
    if (this.sees("[")) this.refuse("a range that ends in a class");
    return this.classRange(first, this.classCharacter(), flags);
  }

  private classCharacter(): string {
    const character = this.next();
    return character === "\\" ? this.escapedCharacter() : character;
  }

  private classRange(first: string, last: string, flags: Flags): string {
    const [low, high] = [first.codePointAt(0) ?? 0, last.codePointAt(0) ?? 0];
    if (low > high) this.refuse(`the range ${first}-${last}`);
    if (!flags.ignoreCase) return low === high ? quoted(first) : `${quoted(first)}-${quoted(last)}`;
    if (high - low > 0x7f) this.refuse(`the range ${first}-${last} where case does not count`);
    const characters = Array.from({ length: high - low + 1 }, (_, i) => String.fromCodePoint(low + i));
    return characters.map((each) => this.literal(each, flags).replace(/^\[|\]$/g, "")).join("");
  }

  private next(): string {
    return this.characters[this.position++] ?? this.refuse("the end");
  }

  private sees(text: string): boolean {
    return this.ahead(text.length) === text;
  }

  private take(text: string): boolean {
    const found = this.sees(text);
    if (found) this.position += text.length;
    return found;
  }

  private ahead(length: number): string {
    return this.characters.slice(this.position, this.position + length).join("");
  }

  private since(start: number): string {
    return this.characters.slice(start, this.position).join("");
  }
}
