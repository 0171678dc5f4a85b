/** A regular expression as a tree, whichever language it was written in. */
export type Expression =
  /** One character: a class, or whatever in JavaScript's notation matches one, under the flag `v`. */
  | { readonly kind: "set"; readonly source: string }
  | { readonly kind: "sequence"; readonly items: readonly Expression[] }
  /** The first branch that leads to a match counts. */
  | { readonly kind: "choice"; readonly branches: readonly Expression[] }
  | {
      readonly kind: "repeat";
      readonly body: Expression;
      readonly min: number;
      /** Infinity: without end. */
      readonly max: number;
      readonly lazy?: boolean;
    }
  /** What its body matched can be asked for, and referred to, by its number from 1. */
  | { readonly kind: "group"; readonly index: number; readonly body: Expression }
  | { readonly kind: "look"; readonly ahead: boolean; readonly negated: boolean; readonly body: Expression }
  /** What has matched once is not tried another way. */
  | { readonly kind: "atomic"; readonly body: Expression }
  | { readonly kind: "reference"; readonly group: number };

/** An expression that an engine here does not run: it would be too large, or takes too many steps. */
export class ExpressionError extends Error {}

/** A set; `source` as {@link Expression} has it. */
export const set = (source: string): Expression => ({ kind: "set", source });

/** Several expressions one after the other. */
export const sequence = (...items: readonly Expression[]): Expression =>
  items.length === 1 && items[0] ? items[0] : { kind: "sequence", items };

/** One of several expressions. */
export const choice = (...branches: readonly Expression[]): Expression =>
  branches.length === 1 && branches[0] ? branches[0] : { kind: "choice", branches };

/** A repetition, `max` times at most. One of a set that is there at least once, over and over, is one of the set. */
export function repeat(body: Expression, min: number, max: number, lazy = false): Expression {
  const isRepeatedSet = body.kind === "repeat" && body.body.kind === "set" && body.min === 1 && !body.lazy;
  const inner = isRepeatedSet && min <= 1 && max === Infinity && !lazy ? body.body : body;
  return { kind: "repeat", body: inner, min, max, lazy };
}

/** `(?=…)`, `(?!…)`. */
export const ahead = (body: Expression, negated = false): Expression => ({
  kind: "look",
  ahead: true,
  negated,
  body,
});

/** `(?<=…)`, `(?<!…)`. */
export const behind = (body: Expression, negated = false): Expression => ({
  kind: "look",
  ahead: false,
  negated,
  body,
});

/** Fewest characters that an expression takes in. */
export function leastWidth(node: Expression): number {
  switch (node.kind) {
    case "set":
      return 1;
    case "sequence":
      return node.items.reduce((sum, item) => sum + leastWidth(item), 0);
    case "choice":
      return node.branches.reduce((least, branch) => Math.min(least, leastWidth(branch)), Infinity);
    case "repeat":
      return node.min === 0 ? 0 : node.min * leastWidth(node.body);
    case "group":
    case "atomic":
      return leastWidth(node.body);
    case "look":
    case "reference":
      return 0;
  }
}
