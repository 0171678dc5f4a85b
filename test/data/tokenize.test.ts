import { describe, expect, test } from "vitest";
import { IGNORE_INDEX, tokenizeExamples } from "../../src/data/tokenize.ts";
import { createTokenizer } from "../../src/io/tokenizer/tokenizer.ts";
import { GPT2_CONFIG, GPT2_JSON, LLAMA_CONFIG, LLAMA_JSON } from "../io/tokenizer/tiny-tokenizer.ts";

const llama = createTokenizer(LLAMA_JSON, LLAMA_CONFIG);
const gpt2 = createTokenizer(GPT2_JSON, GPT2_CONFIG);
const _ = IGNORE_INDEX;
const plain = (text: string) => llama.encode(text, { addSpecialTokens: false });

describe("labels", () => {
  test("of a text: all but the first token, and EOS", () => {
    const { sequences, report } = tokenizeExamples([{ text: "ab c" }], llama, { maxLength: 64 });
    const ids = [...llama.encode("ab c"), 2];
    expect(sequences).toEqual([{ inputIds: ids, labels: [_, ...ids.slice(1)] }]);
    expect(report).toMatchObject({
      rows: 1,
      tokens: ids.length,
      labelTokens: ids.length - 1,
      longest: ids.length,
    });
  });

  test("of a completion: the prompt is masked, unless told otherwise", () => {
    const example = { prompt: "ab", completion: " c" };
    const ids = [1, ...plain("ab c"), 2];
    const masked = tokenizeExamples([example], llama, { maxLength: 64 }).sequences[0]!;
    const promptLength = 1 + plain("ab").length;
    expect(masked.inputIds).toEqual(ids);
    expect(masked.labels).toEqual(ids.map((id, i) => (i < promptLength ? _ : id)));
    const open = tokenizeExamples([example], llama, { maxLength: 64, maskPrompt: false }).sequences[0]!;
    expect(open.labels).toEqual([_, ...ids.slice(1)]);
  });

  test("EOS comes once, or not at all", () => {
    const example = { prompt: "a", completion: "b</s>" };
    const withEos = tokenizeExamples([example], llama, { maxLength: 64 }).sequences[0]!;
    expect(withEos.inputIds.filter((id) => id === 2)).toHaveLength(1);
    const without = tokenizeExamples([{ text: "ab" }], llama, { maxLength: 64, appendEos: false })
      .sequences[0]!;
    expect(without.inputIds).toEqual(llama.encode("ab"));
    expect(() => tokenizeExamples([{ text: "ab" }], createTokenizer(LLAMA_JSON), { maxLength: 64 })).toThrow(
      /no EOS/,
    );
  });

  test("EOS is learnt where it is the padding token, too", () => {
    const { labels } = tokenizeExamples([{ text: "a" }], gpt2, { maxLength: 8 }).sequences[0]!;
    expect(labels.at(-1)).toBe(0);
  });
});

describe("the seam between prompt and completion", () => {
  const cases = [
    ["ab", "c"], // SentencePiece: no "▁" in the middle of a word
    ["ab ", "ab"], // a merge crosses the seam: "▁" + "ab" is one token
    ["a", "b"], // so does "a" + "b"
    ["a\n", "b"],
    ["a:", " b"],
    ["a", "\n\nb"],
    ["", "b"],
    ["a ", ""],
    ["日", "本🙂"],
  ] as const;
  for (const [name, tokenizer] of [["Llama", llama] as const, ["GPT-2", gpt2] as const]) {
    test.each(cases)(`${name}: %j + %j keeps the prompt's ids and the text`, (prompt, completion) => {
      const { inputIds, labels } = tokenizeExamples([{ prompt, completion }], tokenizer, { maxLength: 64 })
        .sequences[0]!;
      const promptIds = tokenizer.encode(prompt);
      expect(inputIds.slice(0, promptIds.length)).toEqual(promptIds);
      expect(tokenizer.decode(inputIds)).toBe(prompt + completion);
      const first = Math.max(1, promptIds.length);
      expect(labels).toEqual(inputIds.map((id, i) => (i < first ? _ : id)));
    });
  }
});

describe("rows that do not fit", () => {
  const rows = [
    { text: "abcabc" },
    { text: "" },
    { prompt: "abcabcabc", completion: "c" },
    { prompt: "c", completion: "c" },
  ];

  test("are cut by default; a row without labels is left out", () => {
    const { sequences, report } = tokenizeExamples(rows, gpt2, { maxLength: 4 });
    expect(sequences.map(({ inputIds }) => inputIds.length)).toEqual([4, 3]);
    expect(report).toMatchObject({
      rows: 4,
      truncated: 2,
      dropped: 0,
      droppedNoLabels: 1,
      droppedEmpty: 1,
      longest: 11,
      longestIsLeast: false,
    });
    expect(report.tokens).toBe(7);
    expect(report.labelTokens).toBe(3 + 2);
  });

  test("or left out", () => {
    const { sequences, report } = tokenizeExamples(rows, gpt2, { maxLength: 4, truncation: "drop" });
    expect(sequences).toHaveLength(1);
    expect(report).toMatchObject({ truncated: 0, dropped: 2, droppedNoLabels: 0, droppedEmpty: 1 });
  });

  test("it is an error if none is left", () => {
    expect(() => tokenizeExamples(rows.slice(1, 3), gpt2, { maxLength: 4 })).toThrow(/none of the 2 rows/);
    expect(() => tokenizeExamples(rows, gpt2, { maxLength: 1 })).toThrow(/maxLength/);
  });
});

test("of a text that is very much longer than is kept the start is read; the report says at least", () => {
  const text = "once upon a time ".repeat(6000);
  const { sequences, report } = tokenizeExamples([{ text }], llama, { maxLength: 12 });
  expect(sequences[0]?.inputIds).toEqual(llama.encode(text.slice(0, 300)).slice(0, 12));
  expect(report).toMatchObject({ truncated: 1, longest: 14, longestIsLeast: true });
  const short = tokenizeExamples([{ text: text.slice(0, 300) }], llama, { maxLength: 12 });
  expect(short.report.longestIsLeast).toBe(false);
  expect(short.report.longest).toBeGreaterThan(13);
});
