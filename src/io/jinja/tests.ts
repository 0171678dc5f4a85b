import { refuse, unsupported } from "./errors.ts";
import type { Machine } from "./machine.ts";
import { operate } from "./operators.ts";
import { isCased } from "./python-text.ts";
import { isTrue } from "./python-values.ts";
import { toText } from "./show.ts";
import {
  type Arguments,
  Float,
  Generator,
  Instance,
  isDict,
  isList,
  isText,
  Markup,
  numberOf,
  Tuple,
  Undefined,
  type Value,
  View,
} from "./values.ts";

type Test = (value: Value, given: readonly Value[], machine: Machine) => boolean;

/** A test that is a comparison with its argument. */
const comparing =
  (operator: string): Test =>
  (value, [other], { budget }) =>
    other === undefined
      ? refuse(`the test ${operator} wants an argument`)
      : isTrue(operate(operator, value, other, budget));

const remainder =
  (wanted: number): Test =>
  (value, _, { budget }) =>
    numberOf(operate("%", value, 2, budget)) === wanted;

const TESTS: Readonly<Record<string, Test>> = {
  "!=": comparing("!="),
  "<": comparing("<"),
  "<=": comparing("<="),
  "==": comparing("=="),
  ">": comparing(">"),
  ">=": comparing(">="),
  boolean: (value) => typeof value === "boolean",
  callable: (value) => value instanceof Instance && value.call !== undefined,
  defined: (value) => !(value instanceof Undefined),
  divisibleby: (value, [by], { budget }) =>
    by === undefined
      ? refuse("the test divisibleby wants a number")
      : numberOf(operate("%", value, by, budget)) === 0,
  eq: comparing("=="),
  equalto: comparing("=="),
  escaped: (value) => value instanceof Markup,
  even: remainder(0),
  false: (value) => value === false,
  float: (value) => value instanceof Float,
  ge: comparing(">="),
  greaterthan: comparing(">"),
  gt: comparing(">"),
  in: comparing("in"),
  integer: (value) => typeof value === "number",
  iterable: (value) => isSized(value) || value instanceof Generator || value instanceof View,
  le: comparing("<="),
  lessthan: comparing("<"),
  lower: (value) => isCased(toText(value), (text) => text.toLowerCase()),
  lt: comparing("<"),
  mapping: isDict,
  ne: comparing("!="),
  none: (value) => value === null,
  number: (value) => numberOf(value) !== undefined,
  odd: remainder(1),
  sameas: (value, [other]) => value === other,
  sequence: (value) => isSized(value),
  string: isText,
  true: (value) => value === true,
  undefined: (value) => value instanceof Undefined,
  upper: (value) => isCased(toText(value), (text) => text.toUpperCase()),
};

/** What has a length and items by number or key; Jinja2's Undefined has both. */
function isSized(value: Value): boolean {
  return (
    isText(value) || isList(value) || isDict(value) || value instanceof Tuple || value instanceof Undefined
  );
}

/** Applies a test by its name. */
export function applyTest(name: string, value: Value, given: Arguments, machine: Machine): boolean {
  machine.budget.spend();
  const found = Object.hasOwn(TESTS, name) ? TESTS[name] : undefined;
  if (found) return found(value, given.positional, machine);
  return ["filter", "test"].includes(name)
    ? unsupported(`the test ${name}`)
    : refuse(`No test named '${name}'.`);
}
