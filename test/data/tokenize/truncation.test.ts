import { describe, expect, test } from "vitest";
import type { Example } from "../../../src/data/rows/examples.ts";
import { IGNORE_INDEX } from "../../../src/data/sequence.ts";
import { tokenizeExamples } from "../../../src/data/tokenize/tokenize.ts";
import { cutOut, TRUNCATIONS, type Truncation } from "../../../src/data/tokenize/truncation.ts";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { LLAMA_CONFIG, LLAMA_JSON } from "../../io/tokenizer/tiny-tokenizer.ts";

const llama = createTokenizer(LLAMA_JSON, LLAMA_CONFIG);
const row = { prompt: "ab ".repeat(20), completion: "c a b" };
const tokenize = (example: Example, maxLength: number, truncation: Truncation) =>
  tokenizeExamples([example], llama, { maxLength, truncation });
const whole = tokenize(row, 1000, "truncate").sequences[0]!;
const completion = whole.labels.filter((label) => label !== IGNORE_INDEX).length;

describe("a prompt that is too long", () => {
  test.each(["keep_end", "keep_completion"] as const)("%s cuts it behind the BOS token", (truncation) => {
    for (const maxLength of [whole.inputIds.length - 1, completion + 2]) {
      const { sequences, report } = tokenize(row, maxLength, truncation);
      const start = whole.inputIds.length - maxLength + 1;
      expect(sequences).toEqual([
        {
          inputIds: [1, ...whole.inputIds.slice(start)],
          labels: [IGNORE_INDEX, ...whole.labels.slice(start)],
        },
      ]);
      expect(report).toMatchObject({ truncated: 0, cutAtStart: 1, dropped: 0, labelTokens: completion });
    }
  });

  test("keep_completion leaves a row out where there is no room for it and a token of the prompt", () => {
    expect(() => tokenize(row, completion + 1, "keep_completion")).toThrow("1 too long");
    expect(tokenize(row, completion + 1, "keep_end").report).toMatchObject({ cutAtStart: 1 });
  });

  test("truncate cuts the completion off", () => {
    expect(() => tokenize(row, completion + 2, "truncate")).toThrow("1 without labels");
  });
});

test("of a text, keep_end keeps the end, also of a very long one, and keep_completion the start", () => {
  const text = `${"ab ".repeat(40_000)}c a b`; // longer than what is tokenised where the start is enough
  const end = tokenize({ text: "ab c a b" }, 100, "truncate").sequences[0]!.inputIds.slice(-5);
  const { inputIds } = tokenize({ text }, 6, "keep_end").sequences[0]!;
  expect(inputIds).toEqual([1, ...end]);
  expect(tokenize({ text }, 6, "keep_completion").sequences).toEqual(
    tokenize({ text }, 6, "truncate").sequences,
  );
});

test("whatever is cut, as many tokens stay as have room, and what is short enough is whole", () => {
  for (const truncation of TRUNCATIONS) {
    for (let length = 1; length < 12; length++) {
      for (let firstTrained = -1; firstTrained < length; firstTrained++) {
        const { start, end } = cutOut({ length, maxLength: 6, head: 1, firstTrained }, truncation);
        const kept = length - (end - start);
        expect([Math.min(length, 6), 0]).toContain(kept);
        if (length <= 6) expect(kept).toBe(length);
        else if (truncation === "drop") expect(kept).toBe(0);
        else if (truncation !== "keep_completion") expect(kept).toBe(6);
        const isPrompted = truncation === "keep_completion" && firstTrained > 1;
        if (isPrompted && length > 6 && kept > 0) expect(end).toBeLessThan(firstTrained);
      }
    }
  }
});
