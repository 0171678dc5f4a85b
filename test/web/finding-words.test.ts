import { expect, test } from "vitest";
import type { Finding, FindingKind } from "../../src/data/inspect/report.ts";
import { findingInWords } from "../../src/web/page/finding-words.ts";

const finding = (kind: FindingKind, rows: number): Finding => ({
  ...{ level: "warning", kind, rows, message: "two rows disagree", help: "" },
  examples: ["rows.jsonl:2", "rows.jsonl:5"].slice(0, rows),
});

test("a finding about one example speaks of one", () => {
  expect(findingInWords(finding("cut-before", 1), 4)).toBe(
    "1 example (line 2) is left out: the prompt alone is too long. Raise “Longest example” below, or shorten it.",
  );
  expect(findingInWords(finding("no-end", 1), 1)).toBe(
    "The example does not teach the model to stop: its end is cut off or not learnt. Raise “Longest example” below, or shorten it.",
  );
});

test("a finding about several speaks of all of them, and says where the first are", () => {
  expect(findingInWords(finding("near-empty", 2), 4)).toBe(
    "2 of 4 examples (line 2, line 5) have nothing to learn but the end. Take them out, unless that is what you want.",
  );
  expect(findingInWords(finding("duplicate", 4), 4)).toMatch(/^All 4 examples are the same/);
});

test("what the page has no words for says what the library says", () => {
  expect(findingInWords(finding("conflict", 2), 4)).toBe("two rows disagree (line 2, line 5).");
});
