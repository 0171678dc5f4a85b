import { describe, expect, test } from "vitest";
import { pythonFullMatch, pythonMatch } from "../../../src/util/regexp/python.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";

/** python-regexps.json: see make_peft_regexps.py. */
interface Corpus {
  texts: string[];
  cases: [source: string, ends?: string, full?: string][];
}

const { texts, cases } = readJsonFile<Corpus>(fixturePath(""), "python-regexps.json");
const NO_EXACT_FORM = /no (?:exact )?form here|named character/;

/** What an expression finds, as the corpus writes it; or why it is refused. */
function outcome(source: string): string[] {
  try {
    const [match, full] = [pythonMatch(source), pythonFullMatch(source)];
    const ends = texts.map((text) => match(text)?.end ?? "-");
    const bits = texts.reduce((sum, text, i) => (full(text) ? sum | (1n << BigInt(i)) : sum), 0n);
    return [source, ends.join(" "), bits.toString(16)];
  } catch (error) {
    return [source, (error as Error).message];
  }
}

describe("expressions of Python's re", () => {
  test("match what they match in Python, or are refused", () => {
    const inexact: string[] = [];
    for (const [source, ...wanted] of cases) {
      const [, ...got] = outcome(source);
      if (wanted.length === 0) expect(got, source).toEqual([expect.stringContaining("the pattern ")]);
      else if (got.length === 1) inexact.push(got[0] as string);
      else expect([source, ...got]).toEqual([source, ...wanted]);
    }
    expect(inexact.filter((message) => !NO_EXACT_FORM.test(message))).toEqual([]);
    expect(inexact.length).toBeLessThan(cases.length / 100);
  });

  test.each([
    ["(a)?(?(1)b|c)", "a conditional (?(…)…|…) has no form here"],
    ["(?i)é", "letters beyond ASCII without regard to case"],
    ["\\N{DIGIT ONE}", "a named character"],
    ["a(?i)b", "global flags not at the start of the expression"],
    ["(?<=a+)b", "look-behind requires fixed-width pattern"],
    ["a)|(b", "unbalanced parenthesis"],
  ])("%s is refused by the name of what it uses", (source, reason) => {
    expect(() => pythonMatch(source)).toThrow(reason);
  });
});

describe("an expression of too many", () => {
  test.each([
    ["groups", "(".repeat(50_000), "more than 100 groups in each other"],
    ["characters", "a".repeat(1_000_000), "more than 100000 characters"],
    ["repetitions", "(?:a{1000}){1000}", "more than 50000 parts"],
    ["repetitions of nothing", "(?:(?:){4000000000}){4000000000}", "more than 50000 parts"],
  ])("%s is refused", (_, source, reason) => {
    expect(() => pythonMatch(source)).toThrow(reason);
  });
});

describe("expressions that hold other engines for hours", () => {
  const path = `model.layers.0.self_attn.${"q_proj.".repeat(20)}`;

  test.each([
    "([a-z_.0-9]+)+!",
    "(.*)*!",
    "(.|[a-z._0-9])+!",
    "(?:(?:.*)*)*!",
    "(?=(.+)+!)",
    "(?:(.+)+!)?+x",
    "(a?){50}!",
  ])("%s ends at once", (source) => {
    expect(pythonFullMatch(source)(path)).toBe(false);
    expect(pythonMatch(source)(path)?.end ?? 0).toBe(0);
  });

  test("one that goes back to its groups is given up after so many steps", () => {
    const match = pythonFullMatch("(.)(?:(?:.+)+)+\\1!");
    expect(() => match(path)).toThrow(/too many steps for "model\.layers/);
  });
});
