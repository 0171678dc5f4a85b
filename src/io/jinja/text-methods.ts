import type { Budget } from "./budget.ts";
import { refuse, unsupported } from "./errors.ts";
import { formatBraces } from "./format.ts";
import {
  capitalize,
  characters,
  countOf,
  isCased,
  lengthOf,
  PYTHON_SPACE,
  replace,
  split,
  splitFromEnd,
  splitLines,
  strip,
  title,
} from "./python-text.ts";
import { isTrue, iterate } from "./python-values.ts";
import { Arguments, type Bound, Instance, isText, plain, Tuple, typeName, type Value } from "./values.ts";

interface Method {
  readonly parameters?: readonly string[];
  readonly required?: number;
  run(text: string, given: Bound, budget: Budget): Value;
}

const LEFT = { left: true, right: false };
const RIGHT = { left: false, right: true };
const BOTH = { left: true, right: true };

const simple = (run: (text: string) => Value): Method => ({ run });
const matching = (pattern: RegExp): Method => simple((text) => pattern.test(text));
const stripping = (ends: typeof BOTH): Method => ({
  parameters: ["chars"],
  run: (text, given) => strip(text, ends, given.text("chars", undefined)),
});

function padding(place: (text: string, missing: number, fill: string) => string): Method {
  return {
    parameters: ["width", "fillchar"],
    required: 1,
    run(text, given, budget) {
      const missing = Math.max(0, given.integer("width", 0) - lengthOf(text));
      budget.text(text.length + missing);
      return place(text, missing, given.text("fillchar", " "));
    },
  };
}

function splitting(cut: typeof split): Method {
  return {
    parameters: ["sep", "maxsplit"],
    run(text, given) {
      const separator = given.text("sep", undefined);
      if (separator === "") refuse("empty separator");
      return cut(text, separator, given.integer("maxsplit", -1));
    },
  };
}

/** `find` and its like; `index` and `rindex` refuse where there is nothing. */
function finding(fromEnd: boolean, mayMiss: boolean): Method {
  return {
    parameters: ["sub", "start", "end"],
    required: 1,
    run(text, given) {
      const [sub, part, start] = [given.text("sub", ""), ...within(text, given)];
      const at = fromEnd ? part.lastIndexOf(sub) : part.indexOf(sub);
      if (at < 0) return mayMiss ? -1 : refuse("substring not found");
      return start + lengthOf(part.slice(0, at));
    },
  };
}

/** The part of a text between `start` and `end`, and where it begins. */
function within(text: string, given: Bound): [part: string, start: number] {
  if (given.get("start") === undefined && given.get("end") === undefined) return [text, 0];
  const all = characters(text);
  const clamp = (at: number) => Math.min(all.length, Math.max(0, at < 0 ? at + all.length : at));
  const start = clamp(given.integer("start", 0));
  return [all.slice(start, clamp(given.integer("end", all.length))).join(""), start];
}

function affix(test: (text: string, part: string) => boolean): Method {
  return {
    parameters: ["prefix", "start", "end"],
    required: 1,
    run(text, given) {
      const wanted = given.get("prefix") as Value;
      const parts = wanted instanceof Tuple ? wanted.items : [wanted];
      const [part] = within(text, given);
      return parts.some((each) =>
        isText(each)
          ? test(part, plain(each))
          : refuse(`startswith and endswith want a str or a tuple of str, not ${typeName(each)}`),
      );
    },
  };
}

function partition(fromEnd: boolean): Method {
  return {
    parameters: ["sep"],
    required: 1,
    run(text, given) {
      const separator = given.text("sep", "");
      if (separator === "") refuse("empty separator");
      const at = fromEnd ? text.lastIndexOf(separator) : text.indexOf(separator);
      if (at < 0) return new Tuple(fromEnd ? ["", "", text] : [text, "", ""]);
      return new Tuple([text.slice(0, at), separator, text.slice(at + separator.length)]);
    },
  };
}

const METHODS: Readonly<Record<string, Method>> = {
  capitalize: simple(capitalize),
  casefold: simple((text) => text.toLowerCase().replaceAll("ß", "ss")),
  center: padding((text, missing, fill) => {
    const left = Math.floor(missing / 2) + (missing & (lengthOf(text) + missing) & 1);
    return fill.repeat(left) + text + fill.repeat(missing - left);
  }),
  count: {
    parameters: ["sub", "start", "end"],
    required: 1,
    run: (text, given) => countOf(within(text, given)[0], given.text("sub", "")),
  },
  endswith: affix((text, part) => text.endsWith(part)),
  find: finding(false, true),
  index: finding(false, false),
  isalnum: matching(/^[\p{L}\p{N}]+$/u),
  isalpha: matching(/^\p{L}+$/u),
  isascii: simple((text) => [...text].every((character) => character < "\x80")),
  isdecimal: matching(/^\p{Nd}+$/u),
  isdigit: matching(/^[\p{Nd}²³¹⁰⁴-⁹₀-₉]+$/u),
  islower: simple((text) => isCased(text, (each) => each.toLowerCase())),
  isnumeric: matching(/^\p{N}+$/u),
  isspace: matching(new RegExp(`^[${PYTHON_SPACE}]+$`)),
  istitle: simple((text) => isCased(text, title)),
  isupper: simple((text) => isCased(text, (each) => each.toUpperCase())),
  join: {
    parameters: ["iterable"],
    required: 1,
    run(text, given, budget) {
      const items = iterate(given.get("iterable") as Value).map((item) =>
        isText(item) ? plain(item) : refuse(`join(): expected str, ${typeName(item)} found`),
      );
      budget.text(items.reduce((sum, { length }) => sum + length + text.length, 0));
      return items.join(text);
    },
  },
  ljust: padding((text, missing, fill) => text + fill.repeat(missing)),
  lower: simple((text) => text.toLowerCase()),
  lstrip: stripping(LEFT),
  partition: partition(false),
  removeprefix: {
    parameters: ["prefix"],
    required: 1,
    run(text, given) {
      const prefix = given.text("prefix", "");
      return text.startsWith(prefix) ? text.slice(prefix.length) : text;
    },
  },
  removesuffix: {
    parameters: ["suffix"],
    required: 1,
    run(text, given) {
      const suffix = given.text("suffix", "");
      return text.endsWith(suffix) ? text.slice(0, text.length - suffix.length) : text;
    },
  },
  replace: {
    parameters: ["old", "new", "count"],
    required: 2,
    run(text, given, budget) {
      const [old, by] = [given.text("old", ""), given.text("new", "")];
      budget.text(text.length + countOf(text, old) * Math.max(0, by.length - old.length));
      return replace(text, old, by, given.integer("count", -1));
    },
  },
  rfind: finding(true, true),
  rindex: finding(true, false),
  rjust: padding((text, missing, fill) => fill.repeat(missing) + text),
  rpartition: partition(true),
  rsplit: splitting(splitFromEnd),
  rstrip: stripping(RIGHT),
  split: splitting(split),
  splitlines: {
    parameters: ["keepends"],
    run: (text, given) => splitLines(text, isTrue(given.get("keepends") ?? false)),
  },
  startswith: affix((text, part) => text.startsWith(part)),
  strip: stripping(BOTH),
  swapcase: simple((text) =>
    characters(text)
      .map((each) => (each === each.toLowerCase() ? each.toUpperCase() : each.toLowerCase()))
      .join(""),
  ),
  title: simple(title),
  upper: simple((text) => text.toUpperCase()),
  zfill: padding((text, missing) => {
    const sign = /^[-+]?/.exec(text)?.[0] ?? "";
    return sign + "0".repeat(missing) + text.slice(sign.length);
  }),
};

/** Methods that Python's `str` has beside these. */
const OTHERS = [
  "encode",
  "expandtabs",
  "format_map",
  "isidentifier",
  "isprintable",
  "maketrans",
  "translate",
];

/** A method of a text. */
export function textMethod(text: string, name: string, budget: Budget): Instance | undefined {
  if (name === "format") {
    return method(name, ({ positional, named }) => formatBraces(text, positional, named));
  }
  if (OTHERS.includes(name)) return method(name, () => unsupported(`the method ${name} of a text`));
  const found = Object.hasOwn(METHODS, name) ? METHODS[name] : undefined;
  return (
    found &&
    method(name, (given) => {
      budget.text(text.length);
      return found.run(text, given.bind(name, found.parameters ?? [], found.required), budget);
    })
  );
}

/** Calls a method of a text. */
export function callTextMethod(text: string, name: string, given: readonly Value[], budget: Budget): Value {
  const call = textMethod(text, name, budget)?.call ?? refuse(`'str' object has no attribute '${name}'`);
  return call(new Arguments(given));
}

function method(_name: string, call: (given: Arguments) => Value): Instance {
  return new Instance("builtin_function_or_method", call);
}
