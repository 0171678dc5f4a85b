import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { readTokenizerSchema, type TokenizerJson } from "../../../src/io/tokenizer/schema/schema.ts";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { LoraError } from "../../../src/util/fail.ts";
import { fingerprint, mutant, type Tree } from "./mutants.ts";

interface Golden {
  values: Tree[];
  bases: Record<string, Tree>;
  /** `changes=what Rust has read`, separated by blanks; `-` where Rust refuses. */
  mutants: Record<string, string>;
}

const path = resolve(import.meta.dirname, "../../fixtures/tokenizer-mutations.json");
const golden: Golden = JSON.parse(readFileSync(path, "utf8"));

/** What is refused although Rust takes it. */
const POLICY: readonly RegExp[] = [
  // Built by nobody, or not to be relied on: refused by name.
  /^tokenizer\.json: .* is not supported(\n|$)/,
  // Two readings: a type that is none, or another's, where Rust goes by the fields.
  /\.type is .*, expected one of [A-Z]/,
  /\.type is ".*", but tokenizers takes this for .* by its fields$/,
  /^post_processor\.(trim_offsets|add_prefix_space|single|pair|special_tokens|processors) is/,
  // Two tokens for an id, two ids for a token, an id that Rust doesn't heed.
  /, which is the (id|token) of .* as well$/,
  /^added_tokens\[\d+\]\.(id is \d+, but tokenizers gives .* the id \d+, and writes that when it saves|content is ".*", which is added twice)$/,
  // A template that Rust can't use.
  /\.SpecialToken\.id is ".*", expected (one|a token) of special_tokens/,
  /\.special_tokens.* has \d+ ids and \d+ tokens, expected as many$/,
  // A model without a type that has merges is BPE, also where Rust finds that something else fits.
  /^model\.vocab is \[.*\], expected an object of token → id$/,
  // Lists in the place of objects, and objects in the place of names.
  /^(normalizer|decoder).* is \[.*\], expected an object$/,
  / is \{"Removed":null\}, expected one of "Removed"/,
];

/** The problems for which `read` refuses a file; none where it takes it. */
function refusal(read: (json: unknown) => unknown, json: unknown): string[] {
  try {
    read(json);
    return [];
  } catch (error) {
    if (!(error instanceof LoraError)) throw error;
    const [first, ...listed] = error.message.split("\n  → ")[0]!.split("\n  - ");
    return listed.length > 0 ? listed : [first!];
  }
}

/** What is read, as Rust writes it: added tokens by their ids, and of a merge that is there twice the later one. */
function asRust({ added_tokens, model, ...parts }: TokenizerJson): object {
  const byId = [...added_tokens].sort((a, b) => a.id - b.id);
  if (model.type !== "BPE") return { ...parts, added_tokens: byId, model };
  const merges = model.merges.filter(
    ([left, right], i) => !model.merges.slice(i + 1).some((later) => later[0] === left && later[1] === right),
  );
  return { ...parts, added_tokens: byId, model: { ...model, merges } };
}

describe.each(Object.keys(golden.bases))("mutants of %s", (base) => {
  const lines = golden.mutants[base]!.split(" ").map(
    (line) => line.split("=") as [changes: string, rust: string],
  );
  const made = lines.map(([changes, rust]) => ({
    changes,
    rust,
    json: mutant(golden.bases[base]!, changes, golden.values),
  }));

  test("what Rust refuses is refused", () => {
    const refused = made.filter(({ rust }) => rust === "-");
    const taken = refused.filter(({ json }) => refusal(createTokenizer, json).length === 0);
    expect(taken.map(({ changes }) => changes)).toEqual([]);
  });

  test("what Rust takes is taken, or refused for a listed reason", () => {
    const problems = made.flatMap(({ rust, json }) => (rust === "-" ? [] : refusal(createTokenizer, json)));
    expect(problems.filter((problem) => !POLICY.some((reason) => reason.test(problem)))).toEqual([]);
  });

  test("what both take is read alike", () => {
    const both = made.filter(
      ({ rust, json }) => rust !== "-" && refusal(readTokenizerSchema, json).length === 0,
    );
    const different = both.filter(
      ({ rust, json }) => fingerprint(asRust(readTokenizerSchema(json))) !== rust,
    );
    expect(different.map(({ changes }) => changes)).toEqual([]);
    expect(both.length).toBeGreaterThan(20);
  });
});
