import { refuse } from "./errors.ts";
import { iterate } from "./python-values.ts";
import { repr } from "./show.ts";
import { type List, Undefined, type Value } from "./values.ts";

/** The names that a part of a template sees: its own, and those of the parts around it. */
export class Scope {
  readonly #around: Scope | undefined;
  readonly #values: Map<string, Value>;

  /** @param values what it begins with; it becomes the scope's own */
  constructor(around: Scope | undefined, values = new Map<string, Value>()) {
    this.#around = around;
    this.#values = values;
  }

  get(name: string): Value {
    for (let scope: Scope | undefined = this; scope; scope = scope.#around) {
      const value = scope.#values.get(name);
      if (value !== undefined) return value;
    }
    return new Undefined(`'${name}' is undefined`);
  }

  set(name: string, value: Value): void {
    this.#values.set(name, value);
  }
}

/** The items of a value that is assigned to `count` names. */
export function unpack(value: Value, count: number): List {
  const items = iterate(value);
  if (items.length === count) return items;
  const what = items.length < count ? "not enough" : "too many";
  return refuse(
    `${what} values to unpack: ${count} names for ${items.length} values of ${repr(value).slice(0, 60)}`,
  );
}
