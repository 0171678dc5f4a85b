import { expect, test } from "vitest";
import {
  checkOptions,
  either,
  flag,
  integer,
  listOf,
  number,
  oneOf,
  pickOptions,
  type Rules,
  required,
  text,
  withDefaults,
} from "../../src/util/options.ts";

interface Options {
  r?: number;
  learningRate?: number;
  dropout?: number;
  names?: readonly string[] | string;
  kind?: "a" | "b";
  on?: boolean;
}

const RULES: Rules<Options> = {
  r: integer({ min: 1 }, "lora_r"),
  learningRate: number({ above: 0 }),
  dropout: number({ min: 0, below: 1 }, "lora_dropout"),
  names: either(text(), listOf(text(), "a list of texts")),
  kind: oneOf(["a", "b"]),
  on: flag(),
};
const check = (options: object) => () => checkOptions("where", options as Options, RULES);

test.each([
  [{}],
  [{ r: undefined }],
  [{ r: 3, learningRate: 1e-9, dropout: 0, names: [], kind: "b", on: false }],
  [{ names: "x" }],
])("%j is fine", (options) => {
  expect(check(options)).not.toThrow();
});

test.each<[object, RegExp]>([
  [
    { lora_r: 4 },
    /where: 1 problem:\n {2}- lora_r is unknown; did you mean r\?\n {2}→ the options are r, learningRate, dropout/,
  ],
  [{ lora_dropout: 0 }, /lora_dropout is unknown; did you mean dropout\?/],
  [{ learning_rate: 0 }, /learning_rate is unknown; did you mean learningRate\?/],
  [{ learningrate: 0 }, /did you mean learningRate\?/],
  [{ quite_different: 0 }, /quite_different is unknown\n/],
  [{ toString: 1 }, /toString is unknown/],
  [{ r: 0 }, /r is 0, wanted a whole number of at least 1$/],
  [{ r: 1.5 }, /r is 1.5,/],
  [{ r: "8" }, /r is "8",/],
  [{ r: null }, /r is null,/],
  [{ learningRate: Number.NaN }, /learningRate is NaN, wanted a number above 0$/],
  [{ learningRate: Number.POSITIVE_INFINITY }, /learningRate is Infinity/],
  [{ dropout: 1 }, /dropout is 1, wanted a number of at least 0 and below 1$/],
  [{ names: ["x", 1] }, /names is \["x", 1\], wanted a text, or a list of texts$/],
  [{ kind: "c" }, /kind is "c", wanted one of a, b$/],
  [{ on: 1 }, /on is 1, wanted true or false$/],
  [{ on: () => true, r: {} }, /2 problems:[\s\S]*r is an object[\s\S]*on is a function/],
  [[], /the options are \[\], wanted an object/],
])("%j is refused", (options, message) => {
  expect(check(options)).toThrow(message);
});

test.each([[null], ["r"], [3]])("options that are %j are none", (options) => {
  expect(check(options as unknown as object)).toThrow(/wanted an object/);
});

test("a required option is missed", () => {
  const rules: Rules<{ id: number }> = { id: required(integer({ min: 0 })) };
  expect(() => checkOptions("f", {} as { id: number }, rules)).toThrow(
    /id is missing, wanted a whole number/,
  );
});

test("defaults stand in for what is undefined", () => {
  expect(withDefaults({ r: 8, on: true }, { r: undefined, on: false, kind: "a" })).toEqual({
    r: 8,
    on: false,
    kind: "a",
  });
});

test("options for several functions are told apart", () => {
  expect(pickOptions({ r: 1, other: 2 }, { r: integer() })).toEqual({ r: 1 });
});
