import { expect, test } from "vitest";
import { MetadataReader } from "../../../src/io/formats/gguf/metadata-reader.ts";
import { vocabularyOfGguf } from "../../../src/io/formats/gguf/model-vocabulary.ts";
import { mergesOfScores } from "../../../src/io/formats/gguf/piece-merges.ts";
import { type GgufValue, gguf } from "../../../src/io/formats/gguf/values.ts";
import { Problems } from "../../../src/util/fail.ts";

function read(
  tokens: readonly (readonly [text: string, type: number])[],
  more: Record<string, GgufValue> = {},
  name = "",
) {
  const problems = new Problems();
  const entries: Record<string, GgufValue> = {
    "tokenizer.ggml.model": gguf.string("gpt2"),
    "tokenizer.ggml.pre": gguf.string("llama3"),
    "tokenizer.ggml.tokens": gguf.strings(tokens.map(([text]) => text)),
    "tokenizer.ggml.token_type": gguf.i32s(tokens.map(([, type]) => type)),
    "tokenizer.ggml.merges": gguf.strings([]),
    "tokenizer.ggml.bos_token_id": gguf.u32(0),
    ...more,
  };
  const found = vocabularyOfGguf(new MetadataReader(new Map(Object.entries(entries)), problems), {
    name,
    problems,
  });
  return { found, problems: problems.shown };
}

const TOKENS = [
  ["<|begin|>", 3],
  ["a", 1],
  ["</s>", 1],
  ["<|eot_id|>", 3],
  ["[PAD4]", 5],
  ["<unused>", 5],
] as const;

test("texts end with special tokens that are known by name, and with those that the file names", () => {
  const { found, problems } = read(TOKENS, { "tokenizer.ggml.eot_token_id": gguf.u32(5) });
  expect(problems).toEqual([]);
  expect(found?.generationConfig).toEqual({ eos_token_id: [5, 3] });
});

test("rows without a token are no tokens, and what begins every text is that of the kind of splitting", () => {
  const { found } = read(TOKENS);
  expect(found?.tokenizer.model).toMatchObject({
    vocab: { "<|begin|>": 0, a: 1, "</s>": 2, "<|eot_id|>": 3, "<unused>": 5 },
    ignore_merges: true,
  });
  expect(found?.tokenizer.post_processor).toMatchObject({ special_tokens: { "<|begin|>": { ids: [0] } } });
  const none = { "tokenizer.ggml.add_bos_token": gguf.bool(false) };
  expect(read(TOKENS, none).found?.tokenizer.post_processor).toBeNull();
});

test("Phi-3's special tokens take the blanks behind them", () => {
  const rstrip = (name: string) =>
    ((read(TOKENS, {}, name).found?.tokenizer.added_tokens ?? []) as { rstrip: boolean }[]).map(
      (token) => token.rstrip,
    );
  expect(rstrip("Phi-3 mini")).toEqual([true, true]);
  expect(rstrip("Phi-4 mini")).toEqual([false, false]);
});

test("chat templates keep their names", () => {
  const one = { "tokenizer.chat_template": gguf.string("A") };
  expect(read(TOKENS, one).found?.tokenizerConfig.chat_template).toBe("A");
  const several = {
    ...one,
    "tokenizer.chat_templates": gguf.strings(["tool_use"]),
    "tokenizer.chat_template.tool_use": gguf.string("B"),
  };
  expect(read(TOKENS, several).found?.tokenizerConfig.chat_template).toEqual([
    { name: "default", template: "A" },
    { name: "tool_use", template: "B" },
  ]);
});

test("what is wrong is told: tokens that are there twice, merges of one part", () => {
  const merges = { "tokenizer.ggml.merges": gguf.strings(["a b", "ab"]) };
  expect(
    read(
      [
        ["a", 1],
        ["a", 1],
      ],
      merges,
    ).problems,
  ).toEqual(['the tokens 0 and 1 are both "a"', 'tokenizer.ggml.merges 1 is "ab", no pair of tokens']);
});

test("scores become merges: every way to make a piece, the best piece first", () => {
  const pieces = ["a", "b", "c", "ab", "bc", "abc"].map((text, i) => ({ text, score: -i }));
  expect(mergesOfScores(pieces)).toEqual([
    ["a", "b"],
    ["b", "c"],
    ["ab", "c"],
    ["a", "bc"],
  ]);
});
