import { compareCodePoints } from "../../util/code-points.ts";
import type { Budget } from "./budget.ts";
import { refuse } from "./errors.ts";
import { formatPercent } from "./format.ts";
import { equals, itemsOf, keyOf } from "./python-values.ts";
import { toText } from "./show.ts";
import {
  Float,
  isDict,
  isList,
  isText,
  type List,
  Markup,
  numberOf,
  plain,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** `left operator right`, but for `and` and `or`, whose right side may not be looked at. */
export function operate(operator: string, left: Value, right: Value, budget: Budget): Value {
  switch (operator) {
    case "==":
      return equals(left, right);
    case "!=":
      return !equals(left, right);
    case "in":
      return contains(right, left, budget);
    case "not in":
      return !contains(right, left, budget);
    case "~":
      return join(toText(left), toText(right), budget);
  }
  const missing = [left, right].find((value) => value instanceof Undefined);
  if (missing) refuse(missing.why);
  if (["<", ">", "<=", ">="].includes(operator)) return ordered(operator, compare(left, right, operator));
  return calculate(operator, left, right, budget);
}

function contains(holder: Value, item: Value, budget: Budget): boolean {
  if (isText(holder)) {
    if (!isText(item)) return refuse(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    budget.text(plain(holder).length);
    return plain(holder).includes(plain(item));
  }
  if (isDict(holder)) return holder.has(keyOf(item));
  const items = itemsOf(holder) ?? refuse(`argument of type '${typeName(holder)}' is not iterable`);
  budget.items(items.length);
  return items.some((each) => equals(each, item));
}

function join(left: string, right: string, budget: Budget): string {
  budget.text(left.length + right.length);
  return left + right;
}

/**
 * Below, at or above 0, as Python orders the two.
 * @throws TemplateError for values of different kinds, or of one that has no order
 */
export function compare(a: Value, b: Value, operator = "<"): number {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) return x - y;
  if (isText(a) && isText(b)) return compareCodePoints(plain(a), plain(b));
  const [one, other] = [a instanceof Tuple ? a.items : a, b instanceof Tuple ? b.items : b];
  const sameKind = a instanceof Tuple === b instanceof Tuple;
  if (isList(one) && isList(other) && sameKind) return compareItems(one, other, operator);
  const types = `'${typeName(a)}' and '${typeName(b)}'`;
  return refuse(`'${operator}' not supported between instances of ${types}`);
}

function compareItems(a: List, b: List, operator: string): number {
  const at = a.findIndex((item, i) => i >= b.length || !equals(item, b[i] as Value));
  if (at < 0) return a.length - b.length;
  return at >= b.length ? 1 : compare(a[at] as Value, b[at] as Value, operator);
}

function ordered(operator: string, order: number): boolean {
  if (operator.endsWith("=") && order === 0) return true;
  return operator.startsWith("<") ? order < 0 : order > 0;
}

function calculate(operator: string, left: Value, right: Value, budget: Budget): Value {
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) {
    return arithmetic(operator, a, b, left instanceof Float || right instanceof Float);
  }
  if (operator === "+") {
    if (left instanceof Markup || right instanceof Markup) {
      if (isText(left) && isText(right)) return new Markup(join(escaped(left), escaped(right), budget));
    } else if (isText(left) && isText(right)) return join(left, right, budget);
    if (isList(left) && isList(right)) return joinItems(left, right, budget);
    if (left instanceof Tuple && right instanceof Tuple)
      return new Tuple(joinItems(left.items, right.items, budget));
  }
  if (operator === "%" && isText(left)) return formatPercent(plain(left), right, budget);
  if (operator === "*") {
    const product = repeat(left, right, budget) ?? repeat(right, left, budget);
    if (product !== undefined) return product;
  }
  const types = `'${typeName(left)}' and '${typeName(right)}'`;
  return refuse(`unsupported operand type(s) for ${operator}: ${types}`);
}

function joinItems(left: List, right: List, budget: Budget): List {
  budget.items(left.length + right.length);
  return [...left, ...right];
}

function repeat(value: Value, times: Value, budget: Budget): Value | undefined {
  if (typeof times !== "number" && typeof times !== "boolean") return undefined;
  const count = Math.max(0, Number(times));
  if (isText(value)) {
    budget.text(plain(value).length * count);
    return plain(value).repeat(count);
  }
  if (!isList(value)) return undefined;
  budget.items(value.length * count);
  return Array.from({ length: count }, () => value).flat();
}

function arithmetic(operator: string, a: number, b: number, isFloat: boolean): Value {
  if (b === 0 && ["/", "//", "%"].includes(operator)) refuse("division by zero");
  const result = calculateNumber(operator, a, b);
  if (isFloat || operator === "/" || (operator === "**" && b < 0)) return new Float(result);
  if (!Number.isSafeInteger(result)) refuse(`${a} ${operator} ${b} is beyond 2^53`);
  return result + 0; // no −0: a whole number has none
}

function calculateNumber(operator: string, a: number, b: number): number {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return a / b;
    case "//":
      return Math.floor(a / b);
    case "%":
      return a - b * Math.floor(a / b); // has the sign of the divisor
    case "**":
      return a ** b;
    default:
      return refuse(`the operator ${operator}`);
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
};

/** A text as HTML, unless it is marked as such. */
export function escaped(value: Value): string {
  if (value instanceof Markup) return value.text;
  return toText(value).replace(/[&<>"']/g, (character) => ENTITIES[character] as string);
}

/** `+value`, `-value`, `not value` is elsewhere. */
export function negate(operator: string, value: Value): Value {
  if (value instanceof Undefined) return refuse(value.why);
  const number = numberOf(value) ?? refuse(`bad operand type for unary ${operator}: '${typeName(value)}'`);
  const result = operator === "-" ? -number : number;
  return value instanceof Float ? new Float(result) : result + 0;
}
