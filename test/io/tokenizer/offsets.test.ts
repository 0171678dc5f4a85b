import { describe, expect, test } from "vitest";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { GPT2_CONFIG, GPT2_JSON, LLAMA_CONFIG, LLAMA_JSON } from "./tiny-tokenizer.ts";

const llama = createTokenizer(LLAMA_JSON, LLAMA_CONFIG);
const gpt2 = createTokenizer(GPT2_JSON, GPT2_CONFIG);

/** The text that each token stands for. */
function pieces(tokenizer: typeof llama, text: string): string[] {
  const { ids, offsets } = tokenizer.encodeWithOffsets(text);
  expect(ids).toEqual(tokenizer.encode(text, { addSpecialTokens: false }));
  return offsets.map(([start, end]) => text.slice(start, end));
}

describe("offsets", () => {
  test("of SentencePiece's tokens: the space that it puts before a text is nowhere", () => {
    expect(pieces(llama, "ab c")).toEqual(["ab", " ", "c"]);
    expect(pieces(llama, "c")).toEqual(["", "c"]);
    expect(pieces(llama, " c")).toEqual(["", " ", "c"]);
    expect(pieces(llama, "▁c")).toEqual(["", "▁", "c"]);
  });

  test("behind a special token a text begins anew", () => {
    expect(pieces(llama, "a</s> ab<s>c")).toEqual(["a", "</s>", "", " ab", "<s>", "", "c"]);
  });

  test("of bytes: each stands for the whole character", () => {
    expect(pieces(llama, "é🙂")).toEqual(["", "é", "é", "🙂", "🙂", "🙂", "🙂"]);
    expect(pieces(gpt2, "a é🙂")).toEqual(["a", " ", "é", "é", "🙂", "🙂", "🙂", "🙂"]);
  });

  test("of byte-level tokens, special ones too", () => {
    expect(pieces(gpt2, "a b<|endoftext|>\n")).toEqual([...pieces(gpt2, "a b"), "<|endoftext|>", "\n"]);
    expect(pieces(gpt2, "")).toEqual([]);
  });

  const normalized = (normalizer: unknown) => createTokenizer({ ...GPT2_JSON, normalizer }, GPT2_CONFIG);

  test("where a normalizer composes characters", () => {
    const nfc = normalized({ type: "NFC" });
    expect(pieces(nfc, "ae\u0301c")).toEqual(["a", "e\u0301", "e\u0301", "c"]);
    expect(pieces(nfc, "a\u1112\u1161\u11abc")).toEqual(["a", ...Array(3).fill("\u1112\u1161\u11ab"), "c"]);
  });

  test("where a normalizer replaces, drops and lowers", () => {
    const some = normalized({
      type: "Sequence",
      normalizers: [
        { type: "Replace", pattern: { String: "xx" }, content: "a" },
        { type: "Replace", pattern: { String: "#" }, content: "" },
        { type: "Lowercase" },
      ],
    });
    expect(pieces(some, "cxx#B")).toEqual(["c", "xx", "B"]);
  });

  test("where a pre-tokenizer drops white space, tokens stand where their words are", () => {
    const words = createTokenizer({
      ...GPT2_JSON,
      pre_tokenizer: { type: "WhitespaceSplit" },
      decoder: null,
    });
    expect(pieces(words, "a b\n c")).toEqual(["a", "b", "c"]);
  });

  test("a text that holds what no token stands for is refused", () => {
    const words = createTokenizer({
      ...LLAMA_JSON,
      model: { ...LLAMA_JSON.model, byte_fallback: false },
    });
    expect(() => words.encodeWithOffsets("a😀")).toThrow('the token "<unk>" is not where the text goes on');
  });
});
