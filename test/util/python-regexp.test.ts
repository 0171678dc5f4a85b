import { describe, expect, test } from "vitest";
import { pythonFullMatch, pythonMatch } from "../../src/util/python-regexp.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

/** python-regexps.json: see make_peft_regexps.py. */
interface Corpus {
  texts: string[];
  cases: [source: string, ends?: string, full?: string][];
}

const { texts, cases } = readJsonFile<Corpus>(fixturePath(""), "python-regexps.json");
const NO_EXACT_FORM = /no (?:exact )?form in|may not have matched|named character/;

/** What an expression finds, as the corpus writes it; or why it is refused. */
function outcome(source: string): string[] {
  try {
    const [match, full] = [pythonMatch(source), pythonFullMatch(source)];
    const ends = texts.map((text) => match(text)?.[0].length ?? "-");
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
    expect(inexact.length).toBeLessThan(cases.length / 25);
  });

  test.each([
    ["(a)?(?(1)b|c)", "a conditional (?(…)…|…) has no form in JavaScript"],
    ["(?:(a)|b)\\1", "a reference to a group that may not have matched"],
    ["(?i)é", "letters beyond ASCII without regard to case"],
    ["\\N{DIGIT ONE}", "a named character"],
    ["a(?i)b", "global flags not at the start of the expression"],
    ["(?<=a+)b", "look-behind requires fixed-width pattern"],
    ["a)|(b", "unbalanced parenthesis"],
  ])("%s is refused by the name of what it uses", (source, reason) => {
    expect(() => pythonMatch(source)).toThrow(reason);
  });
});
