import { largest, smallest } from "../arrays.ts";

/** The syntax tree of an expression of Python's `re`, with all flags resolved. */
export type Node =
  | { kind: "char"; code: number; ignoreCase: boolean; ascii: boolean }
  | { kind: "any"; dotAll: boolean }
  | { kind: "set"; negated: boolean; items: readonly SetItem[]; ignoreCase: boolean; ascii: boolean }
  | { kind: "at"; where: "start" | "lineStart" | "end" | "lineEnd" | "last" }
  | { kind: "boundary"; negated: boolean; ascii: boolean }
  | { kind: "sequence"; items: readonly Node[] }
  | { kind: "choice"; branches: readonly Node[] }
  | { kind: "group"; index: number; name: string | undefined; body: Node }
  | { kind: "atomic"; body: Node }
  | { kind: "look"; ahead: boolean; negated: boolean; body: Node }
  | { kind: "repeat"; body: Node; min: number; max: number; mode: "greedy" | "lazy" | "possessive" }
  | { kind: "reference"; group: number; ignoreCase: boolean };

/** A range of code points, or one of the classes \d \s \w and their opposites. */
export type SetItem = { from: number; to: number } | { category: Category; negated: boolean };

/** Digits, white space, and what words consist of. */
export type Category = "d" | "s" | "w";

/** Raised for what Python refuses (`invalid`) and what has no exact form here. */
export class PatternError extends Error {}

/** Fewest and most characters that a node takes in. */
export function widthOf(node: Node): { min: number; max: number } {
  switch (node.kind) {
    case "char":
    case "any":
    case "set":
      return { min: 1, max: 1 };
    case "at":
    case "boundary":
    case "look":
      return { min: 0, max: 0 };
    case "sequence":
      return node.items.map(widthOf).reduce((a, b) => ({ min: a.min + b.min, max: a.max + b.max }), {
        min: 0,
        max: 0,
      });
    case "choice": {
      const widths = node.branches.map(widthOf);
      return {
        min: smallest(widths.map(({ min }) => min)),
        max: largest(widths.map(({ max }) => max)),
      };
    }
    case "group":
    case "atomic":
      return widthOf(node.body);
    case "repeat": {
      const { min, max } = widthOf(node.body);
      return { min: min * node.min, max: max === 0 ? 0 : max * node.max };
    }
    case "reference":
      return { min: 0, max: Number.POSITIVE_INFINITY };
  }
}
