import { describe, expect, test } from "vitest";
import { encodePrompt, specialFrame } from "../../../src/data/tokenize/special-frame.ts";
import { tokenizeExamples } from "../../../src/data/tokenize/tokenize.ts";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { LLAMA_CONFIG, LLAMA_JSON } from "../../io/tokenizer/tiny-tokenizer.ts";

const TOKENS = { "<s>": 1, "</s>": 2 };

/** The small Llama tokenizer with a template of its own, such as `["<s>", "A", "</s>"]`. */
function framed(...template: string[]) {
  const item = (id: string) =>
    id === "A" ? { Sequence: { id, type_id: 0 } } : { SpecialToken: { id, type_id: 0 } };
  const special = Object.entries(TOKENS).map(([id, n]) => [id, { id, ids: [n], tokens: [id] }]);
  const single = template.map(item);
  const post_processor = {
    ...LLAMA_JSON.post_processor,
    single,
    special_tokens: Object.fromEntries(special),
  };
  return createTokenizer({ ...LLAMA_JSON, post_processor }, LLAMA_CONFIG);
}

describe("what a prompt is framed with", () => {
  test.each([
    [["A"], [], []],
    [["<s>", "A"], [1], []],
    [["A", "</s>"], [], [2]],
    [["<s>", "A", "</s>"], [1], [2]],
    [
      ["<s>", "<s>", "A", "</s>", "<s>"],
      [1, 1],
      [2, 1],
    ],
  ])("%j", (template, before, after) => {
    const tokenizer = framed(...template);
    expect(specialFrame(tokenizer)).toEqual({ before, after });
    for (const prompt of ["ab", "", "</s>", "<s>a"]) {
      const plain = tokenizer.encode(prompt, { addSpecialTokens: false });
      expect(encodePrompt(tokenizer, prompt)).toEqual([...before, ...plain]);
      // Training begins with the same ids, has nothing between them and the completion, and ends once.
      const [row] = tokenizeExamples([{ prompt, completion: "c" }], tokenizer, { maxLength: 64 }).sequences;
      const ids = row?.inputIds ?? [];
      expect(ids.slice(0, before.length + plain.length)).toEqual([...before, ...plain]);
      const end = after.at(-1) === 2 ? after : [...after, 2];
      expect(ids.slice(-end.length)).toEqual(end);
      expect(tokenizer.decode(ids)).toBe(`${tokenizer.decode(plain)}c`);
    }
  });

  test("is found where the vocabulary lacks the usual letters", () => {
    const only = (vocab: Record<string, number>) =>
      createTokenizer(
        {
          ...LLAMA_JSON,
          normalizer: null,
          model: { ...LLAMA_JSON.model, ...{ byte_fallback: false, unk_token: null, merges: [] }, vocab },
        },
        LLAMA_CONFIG,
      );
    expect(specialFrame(only({ "<unk>": 0, "<s>": 1, "</s>": 2, "0": 3 }))).toEqual({
      before: [1],
      after: [],
    });
    expect(() => specialFrame(only({ "<unk>": 0, "<s>": 1, "</s>": 2, ж: 3 }))).toThrow("no text has tokens");
  });
});
