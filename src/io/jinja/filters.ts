import { refuse, unsupported } from "./errors.ts";
import { defaultFilter, TEXT_FILTERS } from "./filters-text.ts";
import type { FilterFunction, Machine } from "./machine.ts";
import { attributeOf, countItems, pathOf } from "./members.ts";
import { compare, operate } from "./operators.ts";
import { characters } from "./python-text.ts";
import { equals, isTrue, iterate, keyOf } from "./python-values.ts";
import {
  Arguments,
  type Bound,
  Generator,
  isDict,
  isText,
  type List,
  plain,
  present,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Filters that look into a list or a dict. */
const LIST_FILTERS: Readonly<Record<string, FilterFunction>> = {
  attr: (value, given, { budget }) =>
    attributeOf(value, given.bind("attr", ["name"], 1).text("name", ""), budget),
  batch(value, given) {
    const bound = given.bind("batch", ["linecount", "fill_with"], 1);
    const size = Math.max(1, bound.integer("linecount", 1));
    const items = iterate(value);
    const rows = Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
      items.slice(i * size, (i + 1) * size),
    );
    const fill = bound.get("fill_with") ?? null;
    const full = (row: List) => [...row, ...Array.from({ length: size - row.length }, () => fill)];
    return new Generator(fill === null ? rows : rows.map(full));
  },
  count: (value, given) => {
    given.bind("length", []);
    return countItems(value);
  },
  default: defaultFilter,
  dictsort(value, given, machine) {
    const bound = given.bind("dictsort", ["case_sensitive", "by", "reverse"]);
    if (!isDict(value)) return refuse(`dictsort wants a dict, not ${typeName(value)}`);
    const by = bound.text("by", "key") === "value" ? 1 : 0;
    const entries = [...value].map((entry) => new Tuple(entry));
    return sorted(entries, bound, (entry) => (entry as Tuple).items[by] as Value, machine);
  },
  first(value) {
    const first = value instanceof Generator ? value.takeFirst() : iterate(value)[0];
    return present(first, () => new Undefined("No first item, sequence was empty."));
  },
  items(value) {
    if (value instanceof Undefined) return new Generator([]);
    if (!isDict(value)) return refuse("the filter items wants a mapping");
    return new Generator([...value].map((entry) => new Tuple(entry)));
  },
  last(value) {
    if (value instanceof Generator) return refuse("'generator' object is not reversible");
    return present(iterate(value).at(-1), () => new Undefined("No last item, sequence was empty."));
  },
  list: (value) => [...iterate(value)],
  map: (value, given, machine) => new Generator(iterate(value).map(mapper(given, machine))),
  max: (value, given, machine) => extreme(value, given, machine, 1),
  min: (value, given, machine) => extreme(value, given, machine, -1),
  reject: (value, given, machine) => select(value, given, machine, { by: "item", keep: false }),
  rejectattr: (value, given, machine) => select(value, given, machine, { by: "attribute", keep: false }),
  reverse(value) {
    if (isText(value)) return characters(plain(value)).toReversed().join("");
    return new Generator(iterate(value).toReversed());
  },
  select: (value, given, machine) => select(value, given, machine, { by: "item", keep: true }),
  selectattr: (value, given, machine) => select(value, given, machine, { by: "attribute", keep: true }),
  sort(value, given, machine) {
    const bound = given.bind("sort", ["reverse", "case_sensitive", "attribute"]);
    return sorted(iterate(value), bound, attributeReader(bound, machine), machine);
  },
  sum(value, given, { budget }) {
    const bound = given.bind("sum", ["attribute", "start"]);
    const attribute = bound.get("attribute") ?? null;
    const add = (sum: Value, item: Value) =>
      operate("+", sum, attribute === null ? item : pathOf(item, attribute, budget), budget);
    return iterate(value).reduce<Value>(add, bound.get("start") ?? 0);
  },
  unique(value, given, machine) {
    const bound = given.bind("unique", ["case_sensitive", "attribute"]);
    const read = comparable(bound, attributeReader(bound, machine));
    const seen = new Set<unknown>();
    const isNew = (item: Value) => {
      const key = keyOf(read(item));
      return !seen.has(key) && seen.add(key);
    };
    return new Generator(iterate(value).filter(isNew));
  },
};

const FILTERS: Readonly<Record<string, FilterFunction>> = {
  ...TEXT_FILTERS,
  ...LIST_FILTERS,
  d: defaultFilter,
  e: TEXT_FILTERS.escape as FilterFunction,
  length: LIST_FILTERS.count as FilterFunction,
};

/** Filters that Jinja2 has beside these. */
const OTHERS = [
  ...["filesizeformat", "forceescape", "groupby", "pprint", "random", "slice", "striptags", "truncate"],
  ...["urlencode", "urlize", "wordwrap", "xmlattr"],
];

/** Applies a filter by its name. */
export function applyFilter(name: string, value: Value, given: Arguments, machine: Machine): Value {
  machine.budget.spend();
  const found = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
  if (found) return found(value, given, machine);
  return OTHERS.includes(name) ? unsupported(`the filter ${name}`) : refuse(`No filter named '${name}'.`);
}

/** What `map` does with an item: reads an attribute, or applies a filter. */
function mapper({ positional, named }: Arguments, machine: Machine): (item: Value) => Value {
  const attribute = named.get("attribute");
  if (positional.length === 0 && attribute !== undefined) {
    const fallback = named.get("default");
    return (item) => {
      const value = pathOf(item, attribute, machine.budget);
      return value instanceof Undefined ? present(fallback, () => value) : value;
    };
  }
  const [name, ...rest] = positional;
  if (name === undefined || !isText(name)) return refuse("map requires a filter argument");
  const given = new Arguments(rest, named);
  return (item) => machine.filter(plain(name), item, given);
}

function select(
  value: Value,
  { positional, named }: Arguments,
  machine: Machine,
  { by, keep }: { by: "item" | "attribute"; keep: boolean },
): Value {
  const attribute = by === "attribute" ? positional[0] : undefined;
  if (by === "attribute" && attribute === undefined) refuse("Missing parameter for attribute name");
  const [test, ...rest] = by === "attribute" ? positional.slice(1) : positional;
  const given = new Arguments(rest, named);
  const matches = (item: Value) => {
    const tested = attribute === undefined ? item : pathOf(item, attribute, machine.budget);
    if (test === undefined) return isTrue(tested);
    return isText(test) ? machine.test(plain(test), tested, given) : refuse("a test is named by a str");
  };
  return new Generator(iterate(value).filter((item) => matches(item) === keep));
}

type Reader = (item: Value) => Value;

function attributeReader(bound: Bound, machine: Machine): Reader {
  const attribute = bound.get("attribute") ?? null;
  return attribute === null ? (item) => item : (item) => pathOf(item, attribute, machine.budget);
}

/** Reads what is compared: without case, unless asked for. */
function comparable(bound: Bound, read: Reader): Reader {
  if (isTrue(bound.get("case_sensitive") ?? false)) return read;
  return (item) => {
    const value = read(item);
    return isText(value) ? plain(value).toLowerCase() : value;
  };
}

function sorted(items: List, bound: Bound, read: Reader, { budget }: Machine): List {
  budget.spend(items.length * Math.log2(items.length + 1));
  const key = comparable(bound, read);
  const sign = isTrue(bound.get("reverse") ?? false) ? -1 : 1;
  const keyed = items.map((item) => ({ item, key: key(item) }));
  const order = (a: { key: Value }, b: { key: Value }) => {
    if (a.key instanceof Undefined) return refuse(a.key.why);
    return equals(a.key, b.key) ? 0 : sign * compare(a.key, b.key);
  };
  return keyed.sort(order).map(({ item }) => item);
}

function extreme(value: Value, given: Arguments, machine: Machine, sign: number): Value {
  const bound = given.bind("min and max", ["case_sensitive", "attribute"]);
  const key = comparable(bound, attributeReader(bound, machine));
  const [first, ...rest] = iterate(value);
  if (first === undefined) return new Undefined("No aggregated item, sequence was empty.");
  return rest.reduce<Value>((best, item) => (sign * compare(key(item), key(best)) > 0 ? item : best), first);
}
