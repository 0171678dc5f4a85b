import { describe, expect, test } from "vitest";
import { ItemInspector, type ItemInspectorOptions } from "../../../src/data/inspect/item-inspector.ts";
import { labelFindings } from "../../../src/data/inspect/label-findings.ts";
import { PreferenceInspector } from "../../../src/data/inspect/preference-inspector.ts";
import { itemViewer, preferenceViewer } from "../../../src/data/inspect/row-view.ts";
import type { PreferenceRow } from "../../../src/data/rows/preferences.ts";
import { preferenceEncoder } from "../../../src/data/tokenize/encode-preference.ts";
import { wholeEncoder } from "../../../src/data/tokenize/encode-task.ts";
import {
  type EncodedItem,
  isCut,
  labelledItems,
  pairedItems,
  taggedItems,
} from "../../../src/data/tokenize/task-rows.ts";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { LLAMA_CONFIG, LLAMA_JSON } from "../../io/tokenizer/tiny-tokenizer.ts";

const tokenizer = createTokenizer(LLAMA_JSON, LLAMA_CONFIG);
const CLASSES = ["no", "yes"];
const encoder = wholeEncoder(tokenizer, 8);

type Rows = readonly Omit<EncodedItem, "place" | "fate">[];

function inspect(rows: Rows, options: Partial<ItemInspectorOptions> = {}, judgedRows: Rows = []) {
  const settled = { tokenizer, maxLength: 8, ...options };
  const place = (row: Rows[0], place: number): EncodedItem => ({ place, fate: "kept", ...row });
  const judged = new ItemInspector(settled);
  for (const [i, row] of judgedRows.entries()) judged.add(place(row, i));
  const inspector = new ItemInspector({ ...settled, judged: judged.keys });
  for (const [i, row] of rows.entries()) inspector.add(place(row, i));
  return inspector.report((at) => `d:${at + 1}`);
}

const found = (...given: Parameters<typeof inspect>) =>
  inspect(...given).findings.map(({ level, kind, rows, examples }) => `${level} ${kind} ${rows} ${examples}`);

const text = (words: string, label: string) => labelledItems(encoder, CLASSES)({ text: words, label });
const fine = [text("e", "no"), text("c", "yes"), text("d", "no")];
const classes = { classes: CLASSES };

describe("classes of texts", () => {
  const cases: [what: string, rows: Rows, options: Partial<ItemInspectorOptions>, finding: string][] = [
    ["a row is there twice", [...fine, text("c", "yes")], {}, "warning duplicate 1 d:4"],
    ["a text has two classes", [...fine, text("c", "no")], {}, "warning conflict 1 d:4"],
    ["a row is cut", [...fine, text("c d e f g h", "no")], {}, "warning cut 1 d:4"],
    [
      "the embedding lacks a token",
      [...fine, text("z", "no")],
      { embeddingRows: 285 },
      "error unknown-token 1 d:4",
    ],
    ["a class has no row", fine, { classes: ["no", "yes", "maybe"] }, "warning missing-label 0 "],
    ["all are of one class", [text("ab", "no"), text("c", "no")], {}, "error one-label 0 "],
  ];
  test.each(cases)("%s", (_, rows, options, finding) => {
    expect(found(rows, { ...classes, ...options })).toEqual([finding]);
  });

  test("a row is in the evaluation data, whatever its class there", () => {
    expect(found(fine, classes, [text("c", "no")])).toEqual(["warning overlap 1 d:2"]);
  });

  test("nothing is found in rows as they should be, pairs too; classes are counted", () => {
    const pair = labelledItems(encoder, CLASSES)({ text: "a", textPair: "b", label: "1" });
    const report = inspect([...fine, pair], classes, [text("f", "no")]);
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({
      rows: 4,
      labels: [
        { name: "no", count: 2 },
        { name: "yes", count: 2 },
      ],
    });
  });

  test("left-out rows are counted, and not looked at further", () => {
    const inspector = new ItemInspector({ tokenizer, maxLength: 8, ...classes });
    const long = text("c d e f g h", "no");
    for (const [place, row] of fine.entries()) inspector.add({ place, fate: "kept", ...row });
    expect(inspector.add({ place: 3, fate: "too long", ...long })).toEqual(["too-long"]);
    expect(inspector.add({ place: 4, fate: "empty", texts: [], labels: ["no"], item: 0 })).toEqual(["empty"]);
    expect(inspector.report(String)).toMatchObject({
      rows: 5,
      dropped: 1,
      droppedEmpty: 1,
      labels: [{ count: 2 }, { count: 1 }],
    });
  });
});

test("classes are rare beside others ten times as large, or a hundred times; O is beside the others", () => {
  const kinds = (counts: Record<string, number>, isTagged = false) =>
    labelFindings(new Map(Object.entries(counts)), Object.keys(counts), isTagged).map(({ kind, rows }) => [
      kind,
      rows,
    ]);
  expect(kinds({ a: 100, b: 9 })).toEqual([["rare-label", 9]]);
  expect(kinds({ a: 60, b: 9 })).toEqual([]);
  expect(kinds({ a: 10_000, b: 50, c: 5000 })).toEqual([["rare-label", 50]]);
  expect(kinds({ a: 10_000, b: 150 })).toEqual([]);
  expect(kinds({ O: 10_000, "B-PER": 50, "I-PER": 40 }, true)).toEqual([]);
});

describe("classes of words", () => {
  const tags = ["O", "B-PER"];
  const words = (...given: [string, string][]) =>
    taggedItems(encoder, tags)({ words: given.map(([word]) => word), tags: given.map(([, tag]) => tag) });

  test("words without a token and contradictions are found, and words are counted", () => {
    const empty = { ids: [1, 285], wordOf: [-1, 1], whole: { ids: [1, 285], cuts: [] } }; // as WordPiece has it
    const sparse = taggedItems({ ...encoder, wholeWords: () => empty }, tags);
    const rows = [
      words(["ab", "B-PER"], ["c", "O"]),
      words(["ab", "O"], ["c", "O"]),
      sparse({ words: ["", "d"], tags: ["B-PER", "O"] }),
    ];
    const options = { classes: tags, isTagged: true };
    expect(found(rows, options)).toEqual(["warning conflict 1 d:2", "warning unread-word 1 d:3"]);
    expect(inspect(rows, options).labels).toEqual([
      { name: "O", count: 4 },
      { name: "B-PER", count: 1 },
    ]);
    expect(found([rows[0]!, words(["d", "O"])], options)).toEqual([]);
  });

  test("the first token of each word is shown with its class, what is cut without", () => {
    const row = words(["abc", "B-PER"], ["c", "O"], ["d", "O"], ["e", "O"], ["f", "O"]);
    const view = itemViewer(tokenizer)({ place: 0, fate: "kept", ...row }, "d:1", []);
    const shown = view.tokens.map(({ text, role, tag = "" }) => `${text} ${role} ${tag}`.trim());
    expect(isCut(row.texts[0]!)).toBe(true);
    expect(shown.slice(0, 5)).toEqual(["<s> read", "· read B-PER", "·ab read", "c read", "· read O"]);
    expect(shown.at(-1)).toMatch(/cut$/);
  });
});

test("of pairs those of one text, and such as share one with another, are found", () => {
  const pair = (anchor: string, positive: string) => pairedItems(encoder)({ anchor, positive });
  const options = { isContrastive: true };
  expect(found([pair("a", "b"), pair("c", "c"), pair("a", "d"), pair("e", "b")], options)).toEqual([
    "warning equal-pair 1 d:2",
    "warning shared-text 2 d:3,d:4",
  ]);
  expect(found([pair("a", "b"), pair("c", "d"), pair("a", "b")], options)).toEqual([
    "warning duplicate 1 d:3",
  ]);
  const { tokens } = itemViewer(tokenizer)({ place: 0, fate: "kept", ...pair("a", "b") }, "d:1", []);
  expect(tokens.map(({ part }) => part)).toEqual(["anchor", "anchor", "positive", "positive"]);
});

describe("preferences", () => {
  const encode = preferenceEncoder(tokenizer, { maxLength: 12 });
  const look = (rows: readonly PreferenceRow[], judgedRows: readonly PreferenceRow[] = []) => {
    const judged = new PreferenceInspector({ tokenizer, maxLength: 12 });
    for (const [i, row] of judgedRows.entries()) judged.add(encode(row, i));
    const inspector = new PreferenceInspector({ tokenizer, maxLength: 12, judged: judged.keys });
    for (const [i, row] of rows.entries()) inspector.add(encode(row, i));
    return inspector.report((at) => `d:${at + 1}`);
  };
  const kinds = (...given: Parameters<typeof look>) =>
    look(...given).findings.map(({ level, kind, rows, examples }) => `${level} ${kind} ${rows} ${examples}`);
  const pair = (prompt: string, chosen: string, rejected: string) => ({ prompt, chosen, rejected });
  const good = pair("a", " b", " c d");

  const cases: [what: string, rows: PreferenceRow[], finding: string][] = [
    ["both answers are equal", [good, pair("b", " c", " c")], "warning equal-answers 1 d:2"],
    ["all answers are equal", [pair("b", " c", " c")], "error equal-answers 1 d:1"],
    ["a pair is there twice", [good, good], "warning duplicate 1 d:2"],
    ["a pair contradicts another", [good, pair("a", " c d", " b")], "warning conflict 1 d:2"],
    ["an answer is cut", [good, pair("a", " b", " c d e f g h")], "warning cut 1 d:2"],
    ["the prompt fills it", [good, good, pair("c d e f g h", " b", " c")], "warning cut-before 1 d:3"],
    ["an answer says nothing", [good, pair("a", " b", "")], "warning near-empty 1 d:2"],
    [
      "an answer is judged twice",
      [
        { prompt: "a", completion: " b", label: true },
        { prompt: "a", completion: " b", label: false },
      ],
      "warning conflict 1 d:2",
    ],
  ];
  test.each(cases)("%s", (_, rows, finding) => {
    expect(kinds(rows)).toContain(finding);
  });

  test("a pair is in the evaluation data", () => {
    expect(kinds([pair("b", " c", " d"), good], [good])).toEqual(["warning overlap 1 d:2"]);
  });

  test("nothing is found in rows as they should be; answers are counted with their lengths", () => {
    const report = look([good, pair("b", " c d", " c")]);
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({
      ...{ rows: 2, longerChosen: 1 },
      answers: [
        { name: "chosen", count: 2, mean: 3.5 },
        { name: "rejected", count: 2, mean: 4 },
      ],
    });
  });

  test("the prompt is shown once, then each answer", () => {
    const view = preferenceViewer(tokenizer)(encode(good, 0), "d:1", []);
    const parts = view.tokens.map(({ part, role }) => `${part} ${role}`);
    expect([...new Set(parts)]).toEqual(["prompt masked", "chosen trained", "rejected trained"]);
    expect(view.answers).toMatchObject([
      { name: "chosen", end: { text: "</s>", endsTurn: true } },
      { name: "rejected", end: { text: "</s>", endsTurn: true } },
    ]);
  });
});
