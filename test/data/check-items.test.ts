import { expect, test } from "vitest";
import { checkItems, idsProblem, labelsProblem } from "../../src/data/check-items.ts";
import { padRows } from "../../src/data/label-batch.ts";
import { labelProblem } from "../../src/data/label-problems.ts";
import { collate } from "../support/layouts.ts";

const LIMITS = { vocabSize: 10, maxPositions: 4 };
const WHOLE = /wanted a whole number from 0 to 9/;

test.each([
  ["a negative id", [1, -1], /inputIds\[1\] -1, wanted a whole number from 0 to 9: there are 10 rows/],
  ["an id beyond the embedding", [10], WHOLE],
  ["a fraction", [1.5], WHOLE],
  ["NaN", [Number.NaN], WHOLE],
  ["infinity", [Number.POSITIVE_INFINITY], WHOLE],
  ["a text of digits", ["1"], /inputIds\[0\] "1", wanted a whole number/],
  ["a list of holes", new Array(2), /inputIds\[0\] undefined/],
  ["a big integer", [1n], WHOLE],
  ["an empty row", [], /has no token in inputIds/],
  ["too many tokens", [1, 2, 3, 4, 5], /has 5 tokens in inputIds; the model has 4 positions/],
  ["no list", "1 2", /has inputIds "1 2", wanted a list of token ids/],
  ["nothing", undefined, /has inputIds undefined, wanted a list/],
])("refuses ids: %s", (_, ids, problem) => {
  expect(idsProblem(ids, LIMITS)).toMatch(problem);
});

test.each([
  ["fewer labels than ids", [1], /has 2 tokens and 1 labels/],
  ["more labels than ids", [1, 2, 3], /has 2 tokens and 3 labels/],
  [
    "a label beyond the classes",
    [0, 5],
    /labels\[1\] 5, wanted a whole number from 0 to 4, or -100: there are 5 classes/,
  ],
  ["a negative label that is not −100", [-1, 0], /labels\[0\] -1/],
  ["NaN", [Number.NaN, 0], /labels\[0\] NaN/],
  ["no list", null, /has labels null, wanted a list/],
])("refuses labels: %s", (_, labels, problem) => {
  expect(labelsProblem(labels, 2, 5)).toMatch(problem);
});

test("takes plain lists and typed arrays", () => {
  expect(idsProblem([0, 9], LIMITS)).toBeUndefined();
  expect(idsProblem(Uint16Array.of(0, 9), LIMITS)).toBeUndefined();
  expect(labelsProblem([-100, 4], 2, 5)).toBeUndefined();
  expect([0, 4].map((label) => labelProblem(label, 5))).toEqual([undefined, undefined]);
});

test("names every row that cannot be used", () => {
  const rows = [{ label: 0 }, { label: -1 }, null, { label: "no" }] as { label: number }[];
  const judge = { problemOf: ({ label }: { label: number }) => labelProblem(label, 2) };
  expect(() => checkItems("train", rows, judge)).toThrow(
    /train: 3 problems:\n {2}- row 2 has the label -1, wanted .* 0 to 1\n {2}- row 3 is null, wanted an object\n {2}- row 4 has the label "no"/,
  );
  expect(() => checkItems("train", "rows" as never, judge)).toThrow(/the rows are "rows", wanted a list/);
});

test("200 000 rows are one batch, and as many bad ones one error", () => {
  const rows = Array.from({ length: 200_000 }, (_, i) => ({ inputIds: [1, 1 + (i % 3)], labels: [-100, 2] }));
  const judge = (limits: typeof LIMITS) => ({
    problemOf: ({ inputIds }: (typeof rows)[number]) => idsProblem(inputIds, limits),
  });
  checkItems("train", rows, judge(LIMITS));
  const batch = collate(rows, { padToMultipleOf: 2 });
  expect(batch).toMatchObject({ batchSize: 200_000, length: 2, tokens: 400_000, terms: 200_000 });
  expect(padRows(rows.map(({ inputIds }) => inputIds)).documents).toHaveLength(200_000);
  expect(() => checkItems("train", rows, judge({ ...LIMITS, maxPositions: 1 }))).toThrow(
    /row 1 has 2 tokens[\s\S]*and 199980 more/,
  );
});
