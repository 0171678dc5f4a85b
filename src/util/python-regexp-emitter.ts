import { type Category, type Node, PatternError, type SetItem, widthOf } from "./python-regexp-syntax.ts";

/** What Python takes for digits, white space and parts of words (`str.isdecimal`, `isspace`, `isalnum`), and in ASCII. */
const CATEGORIES: Readonly<Record<Category, readonly [unicode: string, ascii: string]>> = {
  d: ["\\p{Nd}", "0-9"],
  s: [
    "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000",
    "\\t-\\r\\x20",
  ],
  w: ["\\p{L}\\p{N}_", "A-Za-z0-9_"],
};

/** Characters beyond ASCII that are equal to a letter without regard to case: İ ı K ſ. */
const ODD_CASES: Readonly<Record<string, readonly number[]>> = {
  i: [0x130, 0x131],
  k: [0x212a],
  s: [0x17f],
};

/**
 * The expression in JavaScript's syntax, for the flag `u`, that matches the same.
 * @throws PatternError for what has no exact form
 */
export function emitPattern(node: Node): string {
  checkReferences(node, new Set());
  return new Emitter().emit(node);
}

class Emitter {
  #groups = 0;
  /** Python's number of a group → the number here. */
  readonly #numbers = new Map<number, number>();
  /** Inside a look-behind, which JavaScript matches from right to left. */
  #isBehind = false;

  emit(node: Node): string {
    switch (node.kind) {
      case "char":
        return setSource(charItems(node), false, node);
      case "any":
        return node.dotAll ? "[^]" : "[^\\n]";
      case "set":
        return setSource(node.items, node.negated, node);
      case "at":
        return ANCHORS[node.where];
      case "boundary":
        return boundary(node.negated, node.ascii);
      case "sequence":
        return node.items.map((item) => this.#inSequence(item)).join("");
      case "choice":
        return `(?:${node.branches.map((branch) => this.emit(branch)).join("|")})`;
      case "group": {
        this.#numbers.set(node.index, ++this.#groups);
        const name = node.name === undefined ? "" : `?<${node.name}>`;
        return `(${name}${this.emit(node.body)})`;
      }
      case "atomic":
        return this.#atomic(node.body);
      case "look":
        return this.#look(node);
      case "repeat":
        return this.#repeat(node);
      case "reference":
        return `\\${this.#numbers.get(node.group)}(?:)`; // digits that follow are not part of the number
    }
  }

  #inSequence(node: Node): string {
    return node.kind === "sequence" ? `(?:${this.emit(node)})` : this.emit(node);
  }

  /** A look-ahead never gives back what it took, and its group holds that. */
  #atomic(body: Node): string {
    if (this.#isBehind)
      throw new PatternError("an atomic group in a look-behind has no exact form in JavaScript");
    if (repeatsNothing(body))
      throw new PatternError("a repetition of what may be empty has no exact form in an atomic group");
    const number = ++this.#groups;
    return `(?=(${this.emit(body)}))\\${number}(?:)`;
  }

  #look({ ahead, negated, body }: Extract<Node, { kind: "look" }>): string {
    const outer = this.#isBehind;
    this.#isBehind ||= !ahead;
    const source = `(?:(?${ahead ? "" : "<"}${negated ? "!" : "="}${this.emit(body)}))`;
    this.#isBehind = outer;
    return source;
  }

  #repeat({ body, min, max, mode }: Extract<Node, { kind: "repeat" }>): string {
    if (mode === "possessive") return this.#atomic({ kind: "repeat", body, min, max, mode: "greedy" });
    const isSingle = body.kind === "char" || body.kind === "any" || body.kind === "set";
    const source = isSingle || body.kind === "group" ? this.emit(body) : `(?:${this.emit(body)})`;
    const bounds = max === Number.POSITIVE_INFINITY ? `{${min},}` : `{${min},${max}}`;
    return `${source}${bounds}${mode === "lazy" ? "?" : ""}`;
  }
}

const ANCHORS = {
  start: "(?<![^])",
  lineStart: "(?<![^\\n])",
  end: "(?![^])",
  lineEnd: "(?![^\\n])",
  last: "(?=\\n?(?![^]))", // before a newline at the very end, too
} as const;

function boundary(negated: boolean, ascii: boolean): string {
  const word = `[${CATEGORIES.w[ascii ? 1 : 0]}]`;
  // In an empty text, Python finds neither (\\B does from 3.14 on).
  return negated
    ? `(?:(?<=${word})(?=${word})|(?<!${word})(?!${word})(?:(?<=[^])|(?=[^])))`
    : `(?:(?<=${word})(?!${word})|(?<!${word})(?=${word}))`;
}

function charItems({ code }: { code: number }): SetItem[] {
  return [{ from: code, to: code }];
}

/** A set as a class of JavaScript's, or as a choice where it holds the opposite of a category. */
function setSource(
  items: readonly SetItem[],
  negated: boolean,
  { ignoreCase, ascii }: { ignoreCase: boolean; ascii: boolean },
): string {
  const all = ignoreCase ? [...items, ...items.flatMap((item) => otherCases(item, ascii))] : items;
  const column = ascii ? 1 : 0;
  const positive = all.map((item) => {
    if (!("category" in item))
      return item.from === item.to ? hex(item.from) : `${hex(item.from)}-${hex(item.to)}`;
    return item.negated ? "" : CATEGORIES[item.category][column];
  });
  const opposites = all.flatMap((item) =>
    "category" in item && item.negated ? [`[^${CATEGORIES[item.category][column]}]`] : [],
  );
  if (opposites.length === 0) return `[${negated ? "^" : ""}${positive.join("")}]`;
  const choice = [`[${positive.join("")}]`, ...opposites].join("|");
  return negated ? `(?:(?!${choice})[^])` : `(?:${choice})`;
}

/** The other cases of the letters of a range. Beyond ASCII what is equal is not the same in both languages. */
function otherCases(item: SetItem, ascii: boolean): SetItem[] {
  if ("category" in item) return [];
  if (item.to > 0x7f && !ascii)
    throw new PatternError("letters beyond ASCII without regard to case have no exact form in JavaScript");
  const found: SetItem[] = [];
  for (let code = item.from; code <= Math.min(item.to, 0x7f); code++) {
    const char = String.fromCodePoint(code);
    if (!/[a-zA-Z]/.test(char)) continue;
    const lower = char.toLowerCase();
    const other = lower === char ? char.toUpperCase() : lower;
    const odd = ascii ? [] : (ODD_CASES[lower] ?? []);
    for (const same of [other.charCodeAt(0), ...odd]) found.push({ from: same, to: same });
  }
  return found;
}

function hex(code: number): string {
  return `\\u{${code.toString(16)}}`;
}

/** Whether something inside is repeated that may be empty: how often that runs differs between the languages. */
function repeatsNothing(node: Node): boolean {
  switch (node.kind) {
    case "sequence":
      return node.items.some(repeatsNothing);
    case "choice":
      return node.branches.some(repeatsNothing);
    case "group":
    case "atomic":
    case "look":
      return repeatsNothing(node.body);
    case "repeat":
      return (node.max > node.min && widthOf(node.body).min === 0) || repeatsNothing(node.body);
    default:
      return false;
  }
}

/**
 * Checks that each reference is to a group that has matched whenever it is reached: to others JavaScript matches
 * nothing, where Python fails.
 * @param matched the groups that have certainly matched before the node
 * @returns those after it
 */
function checkReferences(node: Node, matched: ReadonlySet<number>): ReadonlySet<number> {
  switch (node.kind) {
    case "sequence":
      return node.items.reduce((sure, item) => checkReferences(item, sure), matched);
    case "choice": {
      const after = node.branches.map((branch) => checkReferences(branch, matched));
      return new Set([...(after[0] ?? [])].filter((group) => after.every((sure) => sure.has(group))));
    }
    case "group":
      return new Set([...checkReferences(node.body, matched), node.index]);
    case "atomic":
      return checkReferences(node.body, matched);
    case "look": {
      const after = checkReferences(node.body, matched);
      return node.ahead && !node.negated ? after : matched;
    }
    case "repeat": {
      const after = checkReferences(node.body, matched);
      return node.min === 1 && node.max === 1 ? after : matched;
    }
    case "reference":
      if (node.ignoreCase)
        throw new PatternError("a group reference without regard to case has no exact form in JavaScript");
      if (!matched.has(node.group))
        throw new PatternError("a reference to a group that may not have matched has no form in JavaScript");
      return matched;
    default:
      return matched;
  }
}
