import type { Budget } from "./budget.ts";
import type { Arguments, Value } from "./values.ts";

/** What filters and functions ask of the rendering that they are a part of. */
export interface Machine {
  readonly budget: Budget;
  /** What time it is, for templates that write the date. */
  readonly now: Date;
  filter(name: string, value: Value, given: Arguments): Value;
  test(name: string, value: Value, given: Arguments): boolean;
}

/** A filter: what stands before `|`, and what stands in parentheses behind its name. */
export type FilterFunction = (value: Value, given: Arguments, machine: Machine) => Value;
