import {
  ahead,
  behind,
  choice,
  type Expression,
  repeat,
  sequence,
  set,
} from "../../../util/regexp/expression.ts";
import { javaScript } from "../../../util/regexp/java-script.ts";
import { caseVariants, LIGATURES, posixClass, property, quoted, SHORTHANDS } from "./oniguruma-classes.ts";

/** An expression, or a part of one, that isn't translated. */
export class UntranslatedError extends Error {}

/** Characters of an expression, and groups in groups: more is no tokenizer's, and reading it would take long. */
const [LONGEST, DEEPEST] = [10_000, 100];

/**
 * The expression that matches what Oniguruma's (Ruby syntax, as the Rust library compiles it) does.
 * Both try alternatives in the same order and backtrack, so that equal parts give equal matches.
 * @throws UntranslatedError for what has no exact translation here, or is no expression
 */
export function readOniguruma(source: string): Expression {
  if (source.length > LONGEST) throw new UntranslatedError(`more than ${LONGEST} characters`);
  const reader = new ExpressionReader(source);
  const expression = reader.alternatives({ ignoreCase: false, dotAll: false });
  if (!reader.atEnd) reader.refuse('a ")" without "("');
  try {
    new RegExp(javaScript(expression), "v");
  } catch {
    return reader.refuse("it");
  }
  return expression;
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
const ANY = set("[\\0-\\u{10ffff}]");
const LINE_BREAK = set("\\n");
const WORD = set(SHORTHANDS.w as string);
const TEXT_END = ahead(ANY, true);
const WORD_BOUNDARY = choice(
  sequence(behind(WORD), ahead(WORD, true)),
  sequence(behind(WORD, true), ahead(WORD)),
);
const ANCHORS: Readonly<Record<string, Expression>> = {
  A: behind(ANY, true),
  z: TEXT_END,
  Z: ahead(sequence(repeat(LINE_BREAK, 0, 1), TEXT_END)),
  b: WORD_BOUNDARY,
  B: ahead(WORD_BOUNDARY, true),
};
/** `^` and `$` are of lines; behind a line break that ends the text begins no line. */
const LINE_BEGIN = choice(behind(ANY, true), sequence(behind(LINE_BREAK), ahead(ANY)));
const LINE_END = ahead(choice(LINE_BREAK, TEXT_END));
const ANY_LINE_BREAK: Expression = {
  kind: "atomic",
  body: choice(sequence(set("\\r"), LINE_BREAK), set("[\\n-\\r\\x85\\u2028\\u2029]")),
};

/** A piece of the expression: what a quantifier would repeat. */
interface Atom {
  expression: Expression;
  /** False for places between characters, which can't be repeated. */
  repeats: boolean;
}

interface Quantifier {
  min: number;
  max: number;
  lazy?: boolean;
  possessive?: boolean;
}

const SIMPLE_QUANTIFIERS: readonly (readonly [mark: string, Quantifier])[] = [
  ["*", { min: 0, max: Infinity }],
  ["+", { min: 1, max: Infinity }],
  ["?", { min: 0, max: 1 }],
];

class ExpressionReader {
  private readonly characters: readonly string[];
  private position = 0;
  private lookbehinds = 0;
  private groups = 0;

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
  alternatives(flags: Flags): Expression {
    const branches = [this.sequence(flags)];
    while (this.take("|")) branches.push(this.sequence(flags));
    return choice(...branches);
  }

  private sequence(flags: Flags): Expression {
    const start = this.position;
    const terms: Expression[] = [];
    while (!this.atEnd && !this.sees("|") && !this.sees(")")) terms.push(this.term(flags));
    if (flags.ignoreCase && LIGATURES.test(this.since(start))) {
      this.refuse('"ss", "ff", "fi", "fl" or "st" where case does not count');
    }
    return sequence(...terms);
  }

  private term(flags: Flags): Expression {
    let { expression, repeats } = this.atom(flags);
    for (let quantifier = this.quantifier(); quantifier; quantifier = this.quantifier()) {
      if (!repeats) this.refuse("a quantifier behind an anchor");
      const { min, max, lazy = false, possessive = false } = quantifier;
      expression = repeat(expression, min, max, lazy);
      if (possessive) expression = this.atomic(expression);
    }
    return expression;
  }

  private quantifier(): Quantifier | undefined {
    const simple = SIMPLE_QUANTIFIERS.find(([mark]) => this.take(mark))?.[1];
    if (simple) {
      if (this.take("+")) return { ...simple, possessive: true };
      return { ...simple, lazy: this.take("?") };
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
    const min = Number(least || "0");
    const max = comma === "" ? min : most === "" ? Infinity : Number(most);
    return { min, max, lazy: comma !== "" && this.take("?") };
  }

  private atom(flags: Flags): Atom {
    const character = this.next();
    switch (character) {
      case "(":
        return this.group(flags);
      case "[":
        return { expression: set(this.characterClass(flags)), repeats: true };
      case "\\":
        return this.escape(flags);
      case ".":
        return { expression: flags.dotAll ? ANY : set("[^\\n]"), repeats: true };
      case "^":
        return { expression: LINE_BEGIN, repeats: false };
      case "$":
        return { expression: LINE_END, repeats: false };
      case "*":
      case "+":
      case "?":
        return this.refuse("a quantifier behind nothing");
      default:
        return { expression: set(this.literal(character, flags)), repeats: true };
    }
  }

  private literal(character: string, flags: Flags): string {
    if (!flags.ignoreCase) return quoted(character);
    const variants = caseVariants(character) ?? this.refuse(`"${character}" where case does not count`);
    return variants.length === 1 ? quoted(character) : `[${variants.map(quoted).join("")}]`;
  }

  private group(flags: Flags): Atom {
    if (!this.take("?")) return { expression: this.rest(flags), repeats: true };
    for (const mark of ["=", "!"]) {
      if (this.take(mark)) return { expression: ahead(this.rest(flags), mark === "!"), repeats: false };
    }
    for (const mark of ["<=", "<!"]) {
      if (!this.take(mark)) continue;
      this.lookbehinds++;
      const body = this.rest(flags);
      this.lookbehinds--;
      return { expression: behind(body, mark === "<!"), repeats: false };
    }
    if (this.take(":")) return { expression: this.rest(flags), repeats: true };
    if (this.take(">")) return { expression: this.atomic(this.rest(flags)), repeats: true };
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
    if (end === ":") return { expression: this.rest(inner), repeats: true };
    if (start !== 2) this.refuse(`(?${text} in the middle`);
    return { expression: this.alternatives(inner), repeats: false };
  }

  /** What is left of a group. */
  private rest(flags: Flags): Expression {
    if (++this.groups > DEEPEST) this.refuse(`more than ${DEEPEST} groups in each other`);
    const inside = this.alternatives(flags);
    if (!this.take(")")) this.refuse('a "(" without ")"');
    this.groups--;
    return inside;
  }

  private atomic(body: Expression): Expression {
    if (this.lookbehinds > 0) this.refuse("an atomic group or possessive quantifier in a lookbehind");
    return { kind: "atomic", body };
  }

  private escape(flags: Flags): Atom {
    const anchor = Object.hasOwn(ANCHORS, this.ahead(1)) ? ANCHORS[this.next()] : undefined;
    if (anchor !== undefined) return { expression: anchor, repeats: false };
    if (this.take("R")) {
      if (this.lookbehinds > 0) this.refuse("\\R in a lookbehind");
      return { expression: ANY_LINE_BREAK, repeats: true };
    }
    const shorthand = this.shorthand(flags);
    if (shorthand !== undefined) return { expression: set(shorthand), repeats: true };
    return { expression: set(this.literal(this.escapedCharacter(), flags)), repeats: true };
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
    if (++this.groups > DEEPEST) this.refuse(`more than ${DEEPEST} groups in each other`);
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
    this.groups--;
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
