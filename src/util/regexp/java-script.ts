import { type Expression, ExpressionError } from "./expression.ts";

/** The expression in JavaScript's notation, for the flag `v`. Groups are not numbered: it has no references. */
export function javaScript(node: Expression, atomics = { count: 0 }): string {
  const source = (inner: Expression) => javaScript(inner, atomics);
  switch (node.kind) {
    case "set":
      // V8 11 overlooks a class [^…] in a group that is repeated, under the flag v: /(?:a[^b])+/v finds nothing in "ac".
      return node.source.replace(/^\[\^(.+)\]$/s, "[[\\0-\\u{10ffff}]--[$1]]");
    case "sequence":
      return node.items
        .map((item) => (item.kind === "choice" ? `(?:${source(item)})` : source(item)))
        .join("");
    case "choice":
      return node.branches.map(source).join("|");
    case "repeat":
      return `(?:${source(node.body)})${quantifier(node)}`;
    case "group":
      return `(?:${source(node.body)})`;
    case "look":
      return `(?${node.ahead ? "" : "<"}${node.negated ? "!" : "="}${source(node.body)})`;
    case "atomic": {
      // JavaScript's lookahead is atomic, and the reference takes its text.
      const name = `atomic${atomics.count++}`;
      return `(?:(?=(?<${name}>${source(node.body)}))\\k<${name}>)`;
    }
    case "reference":
      throw new ExpressionError("a reference");
  }
}

function quantifier({ min, max, lazy }: Extract<Expression, { kind: "repeat" }>): string {
  return `{${min},${max === Infinity ? "" : max}}${lazy ? "?" : ""}`;
}
