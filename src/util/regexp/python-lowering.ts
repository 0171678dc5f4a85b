import { ahead, behind, choice, type Expression, sequence, set } from "./expression.ts";
import { type Category, type Node, PatternError, type SetItem } from "./python-syntax.ts";

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

const ANY = set("[^]");
const NOT_LINE_END = set("[^\\n]");
const LINE_END = set("\\n");
const TEXT_END = ahead(ANY, true);

/**
 * The expression that matches the same.
 * @throws PatternError for what has no exact form
 */
export function lowerPattern(node: Node): Expression {
  switch (node.kind) {
    case "char":
      return set(setSource(charItems(node), false, node));
    case "any":
      return node.dotAll ? ANY : NOT_LINE_END;
    case "set":
      return set(setSource(node.items, node.negated, node));
    case "at":
      return ANCHORS[node.where];
    case "boundary":
      return boundary(node.negated, node.ascii);
    case "sequence":
      return sequence(...node.items.map(lowerPattern));
    case "choice":
      return choice(...node.branches.map(lowerPattern));
    case "group":
      return { kind: "group", index: node.index, body: lowerPattern(node.body) };
    case "atomic":
      return { kind: "atomic", body: lowerPattern(node.body) };
    case "look":
      return node.ahead
        ? ahead(lowerPattern(node.body), node.negated)
        : behind(lowerPattern(node.body), node.negated);
    case "repeat": {
      const { min, max, mode } = node;
      const repeat: Expression = {
        kind: "repeat",
        body: lowerPattern(node.body),
        min,
        max,
        lazy: mode === "lazy",
      };
      return mode === "possessive" ? { kind: "atomic", body: repeat } : repeat;
    }
    case "reference":
      if (node.ignoreCase)
        throw new PatternError("a group reference without regard to case has no exact form here");
      return { kind: "reference", group: node.group };
  }
}

const ANCHORS = {
  start: behind(ANY, true),
  lineStart: behind(NOT_LINE_END, true),
  end: TEXT_END,
  lineEnd: ahead(NOT_LINE_END, true),
  // Before a newline at the very end, too.
  last: ahead(sequence({ kind: "repeat", body: LINE_END, min: 0, max: 1 }, TEXT_END)),
} as const;

function boundary(negated: boolean, ascii: boolean): Expression {
  const word = set(`[${CATEGORIES.w[ascii ? 1 : 0]}]`);
  const inside = (before: boolean, after: boolean) => sequence(behind(word, !before), ahead(word, !after));
  if (!negated) return choice(inside(true, false), inside(false, true));
  // In an empty text, Python finds neither (\\B does from 3.14 on).
  return choice(inside(true, true), sequence(inside(false, false), choice(behind(ANY), ahead(ANY))));
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
  const members = ignoreCase ? [...items, ...items.flatMap((item) => otherCases(item, ascii))] : items;
  const column = ascii ? 1 : 0;
  const positive = members.map((item) => {
    if (!("category" in item))
      return item.from === item.to ? hex(item.from) : `${hex(item.from)}-${hex(item.to)}`;
    return item.negated ? "" : CATEGORIES[item.category][column];
  });
  const opposites = members.flatMap((item) =>
    "category" in item && item.negated ? [`[^${CATEGORIES[item.category][column]}]`] : [],
  );
  if (opposites.length === 0) return `[${negated ? "^" : ""}${positive.join("")}]`;
  const all = [`[${positive.join("")}]`, ...opposites].join("|");
  return negated ? `(?:(?!${all})[^])` : `(?:${all})`;
}

/** The other cases of the letters of a range. Beyond ASCII what is equal is not the same in both languages. */
function otherCases(item: SetItem, ascii: boolean): SetItem[] {
  if ("category" in item) return [];
  if (item.to > 0x7f && !ascii)
    throw new PatternError("letters beyond ASCII without regard to case have no exact form here");
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
