import { describe, expect, test } from "vitest";
import { readExamples } from "../../../src/data/rows/examples.ts";
import { readTokens } from "../../../src/data/rows/token-rows.ts";
import { tokenizeExamples } from "../../../src/data/tokenize/tokenize.ts";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { LLAMA_CONFIG, LLAMA_JSON } from "../../io/tokenizer/tiny-tokenizer.ts";

const llama = createTokenizer(LLAMA_JSON, LLAMA_CONFIG);
const ids = [1, 270, 271, 2];

describe("rows of tokens", () => {
  const cases: [what: string, row: object, read: object][] = [
    ["ids alone", { input_ids: ids, text: "kept by datasets" }, { input_ids: ids }],
    [
      "with labels",
      { input_ids: ids, labels: [-100, -100, 271, 2] },
      { input_ids: ids, labels: [-100, -100, 271, 2] },
    ],
    [
      "padded",
      {
        input_ids: [0, 0, ...ids, 0],
        labels: [-100, -100, ...ids, -100],
        attention_mask: [0, 0, 1, 1, 1, 1, 0],
      },
      { input_ids: ids, labels: ids },
    ],
    [
      "with a mask of true and false",
      { input_ids: ids, attention_mask: [true, true, true, false] },
      { input_ids: ids.slice(0, 3) },
    ],
    [
      "with TRL's masks",
      { input_ids: ids, completion_mask: [0, 1, 1, 1], assistant_masks: [1, 1, 0, 1] },
      { input_ids: ids, labels: [-100, 270, -100, 2] },
    ],
    [
      "whose labels count, not the masks",
      { input_ids: ids, labels: ids, completion_mask: [0, 0, 0, 0] },
      { input_ids: ids, labels: ids },
    ],
  ];
  test.each(cases)("%s", (_, row, read) => {
    expect(readTokens(row as never)).toEqual(read);
  });

  test.each([
    [{ input_ids: [] }, '"input_ids" is empty'],
    [{ input_ids: "1 2" }, '"input_ids" is "1 2", wanted a list of token ids'],
    [{ input_ids: [1, -2] }, '"input_ids"[1] is -2, wanted token ids'],
    [{ input_ids: [1, 2.5] }, '"input_ids"[1] is 2.5'],
    [{ input_ids: ids, labels: [1] }, 'has 4 "input_ids" and 1 of "labels"'],
    [{ input_ids: ids, labels: [1, 2, 3, 4] }, `"labels"[1] is 2, wanted -100 or the token's own id 270`],
    [{ input_ids: ids, labels: [270, 271, 2, -100] }, "labels are not shifted"],
    [{ input_ids: ids, attention_mask: [0, 0, 0, 0] }, "hides every token"],
    [{ input_ids: ids, attention_mask: [1, 0, 1, 1] }, '"attention_mask"[1] hides a token between others'],
    [{ input_ids: ids, attention_mask: [1, 1, 1, 2] }, '"attention_mask"[3] is 2, wanted 0 and 1'],
  ])("%j is refused", (row, problem) => {
    expect(readTokens(row as never)).toContain(problem);
  });
});

test("they are learnt as they are: nothing is put before or behind them, and what is too long is cut", () => {
  const rows = readExamples(
    [
      { input_ids: [270, 271, 272] },
      { input_ids: ids, labels: [-100, -100, 271, 2] },
      { input_ids: ids, labels: ids },
    ]
      .map((row) => JSON.stringify(row))
      .join("\n"),
  );
  const { sequences, report } = tokenizeExamples(rows, llama, { maxLength: 3 });
  expect(sequences).toEqual([
    { inputIds: [270, 271, 272], labels: [-100, 271, 272] },
    { inputIds: [1, 270, 271], labels: [-100, -100, 271] },
    { inputIds: [1, 270, 271], labels: [-100, 270, 271] },
  ]);
  expect(report).toMatchObject({ truncated: 2, openEnds: 3 });
  expect(() => tokenizeExamples(rows, llama, { maxLength: 8, assistantOnlyLoss: true })).toThrow(
    "no messages",
  );
  expect(() =>
    tokenizeExamples([{ input_ids: [9999] }], llama, { maxLength: 8 }, { embeddingRows: 285 }),
  ).toThrow(/row 1 holds the token of id 9999|row 1 holds the token/);
});
