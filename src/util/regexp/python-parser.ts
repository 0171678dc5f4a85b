import { type Category, type Node, PatternError, type SetItem, widthOf } from "./python-syntax.ts";

/** The flags of a part of an expression; `a` and `u` are the two values of one. */
interface Flags {
  readonly i: boolean;
  readonly m: boolean;
  readonly s: boolean;
  readonly x: boolean;
  readonly a: boolean;
}

const NO_FLAGS: Flags = { i: false, m: false, s: false, x: false, a: false };
const ESCAPED: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11, "\\": 92 };
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
const LARGEST_REPEAT = 4294967295;

/**
 * Reads an expression of Python's `re` (the grammar of `re._parser` in CPython 3.11).
 * @throws PatternError for what Python refuses, and for named characters
 */
export function parsePattern(source: string): Pattern {
  if (source.length > LONGEST) throw new PatternError(`it has more than ${LONGEST} characters`);
  return new Parser(source).parse();
}

/** An expression, and the numbers of its named groups. */
export interface Pattern {
  readonly node: Node;
  readonly names: ReadonlyMap<string, number>;
}

/** Characters of an expression: room for the names of a thousand modules. */
const LONGEST = 100_000;

/** Groups in groups. */
const DEEPEST = 100;

class Parser {
  readonly #chars: readonly string[];
  #at = 0;
  #flags = NO_FLAGS;
  #groups = 0;
  readonly #names = new Map<string, number>();
  readonly #open = new Set<number>();
  #lookbehinds = 0;
  #depth = 0;

  constructor(source: string) {
    this.#chars = [...source];
  }

  parse(): Pattern {
    const node = this.#choice(NO_FLAGS, true);
    if (this.#at < this.#chars.length) throw new PatternError("unbalanced parenthesis");
    return { node, names: this.#names };
  }

  get #next(): string | undefined {
    return this.#chars[this.#at];
  }

  #take(): string | undefined {
    return this.#chars[this.#at++];
  }

  #accept(text: string): boolean {
    const found = this.#chars.slice(this.#at, this.#at + text.length).join("") === text;
    if (found) this.#at += text.length;
    return found;
  }

  /** Characters while they are of a kind, `most` at most. */
  #while(kind: RegExp, most = Number.POSITIVE_INFINITY): string {
    let text = "";
    while (text.length < most && this.#next !== undefined && kind.test(this.#next)) text += this.#take();
    return text;
  }

  /** Text up to an end, which is taken in, too. */
  #until(end: string, what: string): string {
    const close = this.#chars.indexOf(end, this.#at);
    if (close < 0) throw new PatternError(`missing ${end}, unterminated ${what}`);
    const text = this.#chars.slice(this.#at, close).join("");
    this.#at = close + 1;
    if (text === "") throw new PatternError(`missing ${what}`);
    return text;
  }

  #choice(flags: Flags, isWhole: boolean): Node {
    this.#flags = flags;
    const branches = [this.#sequence(isWhole)];
    while (this.#accept("|")) {
      if (!isWhole) this.#flags = flags;
      branches.push(this.#sequence(false));
    }
    const [only] = branches;
    return branches.length === 1 && only ? only : { kind: "choice", branches };
  }

  #sequence(isStart: boolean): Node {
    const items: Node[] = [];
    const flags = () => this.#flags;
    let canSetFlags = isStart;
    while (this.#next !== undefined && this.#next !== "|" && this.#next !== ")") {
      if (flags().x && this.#skipBlank()) continue;
      const char = this.#take() as string;
      if (char === "(" && this.#accept("?#")) {
        this.#comment();
        continue;
      }
      if (char === "(" && this.#isGlobalFlags()) {
        if (!canSetFlags) throw new PatternError("global flags not at the start of the expression");
        this.#globalFlags();
        continue;
      }
      canSetFlags = false;
      const bounds = this.#repeatBounds(char);
      if (bounds) items.push(this.#repeat(items.pop(), bounds));
      else items.push(this.#item(char));
    }
    const [only] = items;
    return items.length === 1 && only ? only : { kind: "sequence", items };
  }

  /** Skips white space or a comment of a verbose expression. */
  #skipBlank(): boolean {
    if (this.#next === "#") {
      while (this.#next !== undefined && this.#take() !== "\n");
      return true;
    }
    return this.#while(/[ \t\n\r\v\f]/) !== "";
  }

  #comment(): void {
    const close = this.#chars.indexOf(")", this.#at);
    if (close < 0) throw new PatternError("missing ), unterminated comment");
    this.#at = close + 1;
  }

  #isGlobalFlags(): boolean {
    return /^\?[a-zA-Z]+\)/.test(this.#chars.slice(this.#at, this.#at + 12).join(""));
  }

  #globalFlags(): void {
    this.#take();
    const letters = this.#until(")", "flags");
    this.#flags = withFlags(this.#flags, letters, true);
  }

  #item(char: string): Node {
    const { i: ignoreCase, a: ascii, m, s } = this.#flags;
    switch (char) {
      case "[":
        return this.#set();
      case ".":
        return { kind: "any", dotAll: s };
      case "^":
        return { kind: "at", where: m ? "lineStart" : "start" };
      case "$":
        return { kind: "at", where: m ? "lineEnd" : "last" };
      case "(":
        return this.#group();
      case "\\":
        return this.#escape();
      default:
        return { kind: "char", code: char.codePointAt(0) as number, ignoreCase, ascii };
    }
  }

  /** The bounds of a repetition that begins with this character; undefined where it stands for itself. */
  #repeatBounds(char: string): { min: number; max: number } | undefined {
    const max = Number.POSITIVE_INFINITY;
    if (char === "*") return { min: 0, max };
    if (char === "+") return { min: 1, max };
    if (char === "?") return { min: 0, max: 1 };
    if (char !== "{" || this.#next === "}") return undefined;
    const start = this.#at;
    const low = this.#while(/[0-9]/);
    const high = this.#accept(",") ? this.#while(/[0-9]/) : low;
    if (!this.#accept("}")) {
      this.#at = start;
      return undefined;
    }
    const bounds = { min: low === "" ? 0 : Number(low), max: high === "" ? max : Number(high) };
    if (Math.max(Number(low), Number(high)) >= LARGEST_REPEAT)
      throw new PatternError("the repetition number is too large");
    if (bounds.max < bounds.min) throw new PatternError("min repeat greater than max repeat");
    return bounds;
  }

  #repeat(body: Node | undefined, bounds: { min: number; max: number }): Node {
    if (!body || body.kind === "at" || body.kind === "boundary") throw new PatternError("nothing to repeat");
    if (body.kind === "repeat") throw new PatternError("multiple repeat");
    const mode = this.#accept("?") ? "lazy" : this.#accept("+") ? "possessive" : "greedy";
    return { kind: "repeat", body, ...bounds, mode };
  }

  #group(): Node {
    if (!this.#accept("?")) return this.#capture(undefined);
    if (this.#accept("P<")) return this.#capture(this.#name(">"));
    if (this.#accept("P=")) return this.#reference(this.#named(this.#name(")")));
    if (this.#accept(":")) return this.#body();
    if (this.#accept(">")) return { kind: "atomic", body: this.#body() };
    if (this.#accept("=")) return { kind: "look", ahead: true, negated: false, body: this.#body() };
    if (this.#accept("!")) return { kind: "look", ahead: true, negated: true, body: this.#body() };
    if (this.#accept("<=")) return this.#lookbehind(false);
    if (this.#accept("<!")) return this.#lookbehind(true);
    if (this.#next === "(") throw new PatternError("a conditional (?(…)…|…) has no form here");
    const letters = this.#while(/[aiLmsux-]/);
    if (letters === "" || !this.#accept(":"))
      throw new PatternError(`unknown extension ?${letters}${this.#next ?? ""}`);
    return this.#body(scopedFlags(this.#flags, letters));
  }

  #body(flags = this.#flags): Node {
    const outer = this.#flags;
    if (++this.#depth > DEEPEST) throw new PatternError(`more than ${DEEPEST} groups in each other`);
    const body = this.#choice(flags, false);
    this.#depth--;
    if (!this.#accept(")")) throw new PatternError("missing ), unterminated subpattern");
    this.#flags = outer;
    // A group of its own, for what follows repeats the whole of it.
    return body.kind === "repeat" || body.kind === "at" || body.kind === "boundary"
      ? { kind: "sequence", items: [body] }
      : body;
  }

  #capture(name: string | undefined): Node {
    const index = ++this.#groups;
    if (name !== undefined) {
      if (this.#names.has(name)) throw new PatternError(`redefinition of group name ${name}`);
      this.#names.set(name, index);
    }
    this.#open.add(index);
    const body = this.#body();
    this.#open.delete(index);
    return { kind: "group", index, name, body };
  }

  #lookbehind(negated: boolean): Node {
    this.#lookbehinds++;
    const body = this.#body();
    this.#lookbehinds--;
    const { min, max } = widthOf(body);
    if (min !== max) throw new PatternError("look-behind requires fixed-width pattern");
    return { kind: "look", ahead: false, negated, body };
  }

  #name(end: string): string {
    const name = this.#until(end, "group name");
    if (!/^[\p{XID_Start}_]\p{XID_Continue}*$/u.test(name))
      throw new PatternError(`bad character in group name ${JSON.stringify(name)}`);
    return name;
  }

  #named(name: string): number {
    const index = this.#names.get(name);
    if (index === undefined) throw new PatternError(`unknown group name ${JSON.stringify(name)}`);
    return index;
  }

  #reference(group: number): Node {
    if (group > this.#groups) throw new PatternError(`invalid group reference ${group}`);
    if (this.#open.has(group)) throw new PatternError("cannot refer to an open group");
    if (this.#lookbehinds > 0)
      throw new PatternError("a group reference in a look-behind has no exact form here");
    return { kind: "reference", group, ignoreCase: this.#flags.i };
  }

  #escape(): Node {
    const { i: ignoreCase, a: ascii } = this.#flags;
    const char = this.#take();
    if (char === undefined) throw new PatternError("bad escape (end of pattern)");
    const literal = (code: number): Node => ({ kind: "char", code, ignoreCase, ascii });
    if (char === "A") return { kind: "at", where: "start" };
    if (char === "Z") return { kind: "at", where: "end" };
    if (char === "b" || char === "B") return { kind: "boundary", negated: char === "B", ascii };
    const category = categoryOf(char);
    if (category) return { kind: "set", negated: false, items: [category], ignoreCase, ascii };
    if (char === "0") return literal(Number.parseInt(`0${this.#while(/[0-7]/, 2)}`, 8));
    if (/[1-9]/.test(char)) return this.#digits(char, literal);
    return literal(this.#character(char));
  }

  /** A reference to a group, or a character of three octal digits. */
  #digits(first: string, literal: (code: number) => Node): Node {
    const second = this.#while(/[0-9]/, 1);
    const digits = first + second;
    if (/^[0-7]{2}$/.test(digits) && /[0-7]/.test(this.#next ?? ""))
      return literal(octal(digits + this.#take()));
    return this.#reference(Number(digits));
  }

  /** The character that an escape stands for, inside of a set and outside. */
  #character(char: string): number {
    const named = ESCAPED[char];
    if (named !== undefined) return named;
    const digits = HEX_DIGITS[char];
    if (digits !== undefined) {
      const text = this.#while(/[0-9a-fA-F]/, digits);
      const code = Number.parseInt(text, 16);
      if (text.length !== digits || code > 0x10ffff)
        throw new PatternError(`incomplete escape \\${char}${text}`);
      return code;
    }
    if (char === "N") throw new PatternError("a named character \\N{…} is not supported");
    if (/[a-zA-Z]/.test(char)) throw new PatternError(`bad escape \\${char}`);
    return char.codePointAt(0) as number;
  }

  #set(): Node {
    const { i: ignoreCase, a: ascii } = this.#flags;
    const negated = this.#accept("^");
    const items: SetItem[] = [];
    while (items.length === 0 || this.#next !== "]") {
      const low = this.#setItem();
      if (this.#next === "-" && this.#chars[this.#at + 1] !== "]") {
        this.#take();
        const high = this.#setItem();
        if ("category" in low || "category" in high || high.from < low.from)
          throw new PatternError("bad character range");
        items.push({ from: low.from, to: high.from });
      } else items.push(low);
    }
    this.#take();
    return { kind: "set", negated, items, ignoreCase, ascii };
  }

  #setItem(): SetItem {
    const char = this.#take();
    if (char === undefined) throw new PatternError("unterminated character set");
    const single = (code: number): SetItem => ({ from: code, to: code });
    if (char !== "\\") return single(char.codePointAt(0) as number);
    const escaped = this.#take();
    if (escaped === undefined) throw new PatternError("unterminated character set");
    const category = categoryOf(escaped);
    if (category) return category;
    if (escaped === "b") return single(8);
    if (/[0-7]/.test(escaped)) return single(octal(escaped + this.#while(/[0-7]/, 2)));
    if (/[89]/.test(escaped)) throw new PatternError(`bad escape \\${escaped}`);
    return single(this.#character(escaped));
  }
}

function categoryOf(char: string): { category: Category; negated: boolean } | undefined {
  const letter = char.toLowerCase();
  if (letter !== "d" && letter !== "s" && letter !== "w") return undefined;
  return { category: letter, negated: char !== letter };
}

function octal(digits: string): number {
  const code = Number.parseInt(digits, 8);
  if (code > 0o377) throw new PatternError(`octal escape value \\${digits} outside of range 0-0o377`);
  return code;
}

function withFlags(flags: Flags, letters: string, on: boolean): Flags {
  let changed = flags;
  for (const letter of letters) {
    if (letter === "L") throw new PatternError("the flag L is for bytes, not for text");
    if (!"aimsux".includes(letter)) throw new PatternError(`unknown flag ${letter}`);
    changed = letter === "u" ? { ...changed, a: false } : { ...changed, [letter]: on };
  }
  if (letters.includes("a") && letters.includes("u"))
    throw new PatternError("the flags a and u are incompatible");
  return changed;
}

/** Flags of a part, such as `i-s`. */
function scopedFlags(flags: Flags, letters: string): Flags {
  const [on = "", off, ...more] = letters.split("-");
  const isWrong = more.length > 0 || (off !== undefined && !/^[imsx]+$/.test(off));
  if (isWrong || [...on].some((letter) => off?.includes(letter)))
    throw new PatternError(`bad inline flags ${letters}`);
  return withFlags(withFlags(flags, on, true), off ?? "", false);
}
