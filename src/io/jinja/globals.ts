import { refuse, TemplateError, unsupported } from "./errors.ts";
import type { Machine } from "./machine.ts";
import { iterate, keyOf } from "./python-values.ts";
import { toText } from "./show.ts";
import { strftime } from "./strftime.ts";
import { type Arguments, Instance, isDict, type Key, type List, Namespace, type Value } from "./values.ts";

/** The sandbox of Jinja2 makes no longer range. */
const LONGEST_RANGE = 100_000;

/** What every template can call. */
export function globalNames(machine: Machine): Map<string, Value> {
  const make = (name: string, call: (given: Arguments) => Value) =>
    [name, new Instance("function", call)] as const;
  return new Map<string, Value>([
    make("cycler", ({ positional }) => cycler(positional)),
    make("dict", (given) => new Map(entriesOf("dict", given))),
    make("joiner", (given) => joiner(given.bind("joiner", ["sep"]).text("sep", ", "))),
    make("lipsum", () => unsupported("lipsum()")),
    make("namespace", (given) => {
      const entries = entriesOf("namespace", given).map(([key, value]) => [String(key), value] as const);
      return new Namespace(new Map(entries));
    }),
    make("raise_exception", (given) => {
      const message = given.bind("raise_exception", ["message"], 1).get("message") as Value;
      throw new TemplateError(toText(message), { raised: true });
    }),
    make("range", (given) => range(given, machine)),
    make("strftime_now", (given) =>
      strftime(machine.now, given.bind("strftime_now", ["format"], 1).text("format", "")),
    ),
  ]);
}

/** What `dict(…)` is made of: a dict or pairs, and names with values. */
function entriesOf(called: string, { positional, named }: Arguments): [Key, Value][] {
  if (positional.length > 1) refuse(`${called} expected at most 1 argument, got ${positional.length}`);
  const [source] = positional;
  const pairs = source === undefined ? [] : isDict(source) ? [...source] : iterate(source).map(pairOf);
  return [...pairs, ...named];
}

function pairOf(item: Value): [Key, Value] {
  const [key, value, ...rest] = iterate(item);
  if (key === undefined || value === undefined || rest.length > 0) return refuse("a dict is made of pairs");
  return [keyOf(key), value];
}

function range(given: Arguments, { budget }: Machine): Value {
  const numbers = given.positional.map((value) =>
    typeof value === "number" ? value : refuse("range() wants whole numbers"),
  );
  const [one, stop, step = 1] = numbers;
  if (one === undefined || numbers.length > 3) return refuse("range() takes 1 to 3 arguments");
  if (step === 0) refuse("range() arg 3 must not be zero");
  const [first, end] = stop === undefined ? [0, one] : [one, stop];
  const length = Math.max(0, Math.ceil((end - first) / step));
  if (length > LONGEST_RANGE) {
    refuse(`a range of ${length} is too long: templates may have ranges of ${LONGEST_RANGE} at most`);
  }
  budget.spend(length);
  return Array.from({ length }, (_, i) => first + i * step);
}

function cycler(items: List): Instance {
  if (items.length === 0) refuse("cycler() wants at least one item");
  let at = 0;
  const current = () => items[at] as Value;
  return new Instance("Cycler", undefined, (name) => {
    if (name === "current") return current();
    if (name !== "next" && name !== "reset") return undefined;
    return new Instance("method", () => {
      const value = current();
      at = name === "reset" ? 0 : (at + 1) % items.length;
      return name === "reset" ? null : value;
    });
  });
}

function joiner(separator: string): Instance {
  let used = false;
  return new Instance("Joiner", () => {
    const text = used ? separator : "";
    used = true;
    return text;
  });
}
