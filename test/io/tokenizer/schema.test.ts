import { expect, test } from "vitest";
import { readTokenizerSchema } from "../../../src/io/tokenizer/schema/schema.ts";
import { LoraError } from "../../../src/util/fail.ts";
import { GPT2_JSON, LLAMA_JSON } from "./tiny-tokenizer.ts";

const BPE = { type: "BPE", vocab: { a: 0, b: 1, ab: 2 }, merges: ["a b"] };

/** The problems that the check tells of a file with these parts; none where it is taken. */
function problems(parts: object): string[] {
  try {
    readTokenizerSchema({ model: BPE, ...parts });
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(LoraError);
    return (error as LoraError).message.split("\n  → ")[0]!.split("\n  - ").slice(1);
  }
}

const token = (id: unknown, content: string) => ({
  ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
});

test("gives what Rust reads: merges as pairs, old forms as new ones, unknown fields left out", () => {
  expect(
    readTokenizerSchema({ model: { vocab: { a: 0, b: 1, ab: 2 }, merges: ["#version: 0.2", "a b"] } }),
  ).toEqual({
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: { a: 0, b: 1, ab: 2 },
      merges: [["a", "b"]],
    },
  });
  const old = { type: "Metaspace", replacement: "▁", add_prefix_space: true, str_rep: "▁", other: 1 };
  expect(readTokenizerSchema({ model: BPE, decoder: old }).decoder).toEqual({
    ...{ type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
  });
  for (const json of [GPT2_JSON, LLAMA_JSON])
    expect(readTokenizerSchema(json)).toMatchObject({ decoder: json.decoder });
});

test("names each problem with its place, all at once", () => {
  const split = { type: "Split", pattern: { Regex: "a" }, behavior: "Foo", invert: false };
  const sequence = { type: "Sequence", pretokenizers: [{ type: "Whitespace" }, split, { type: "Digit" }] };
  expect(problems({ version: "2.0", pre_tokenizer: sequence, extra: 1 })).toEqual([
    expect.stringContaining("extra is not a field of tokenizer.json"),
    'version is "2.0", expected one of "1.0"',
    'pre_tokenizer.pretokenizers[1].behavior is "Foo", expected one of "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"',
    expect.stringMatching(
      /^pre_tokenizer\.pretokenizers\[2\]\.type is "Digit", expected one of BertPreTokenizer,/,
    ),
  ]);
});

test("ids are whole numbers from 0, each of one token", () => {
  const vocab = { a: 0, b: -1, c: 1.5, d: 2 ** 32, e: "1", f: 0, g: null };
  expect(problems({ model: { ...BPE, vocab, merges: [] } })).toEqual([
    expect.stringContaining("model.vocab.b is -1, expected a whole number from 0 to 4294967295"),
    expect.stringContaining("model.vocab.c is 1.5"),
    expect.stringContaining("model.vocab.d is 4294967296"),
    expect.stringContaining('model.vocab.e is "1"'),
    'model.vocab.f is 0, which is the id of "a" as well',
    expect.stringContaining("model.vocab.g is null"),
  ]);
});

test("an added token has the id that Rust gives it", () => {
  expect(
    problems({ added_tokens: [token(1, "b"), token(3, "<s>"), token(4, "</s>"), token(9, "")] }),
  ).toEqual([]);
  expect(problems({ added_tokens: [token(7, "<s>"), token(0, "b"), token(4, "<s>")] })).toEqual([
    'added_tokens[0].id is 7, but tokenizers gives "<s>" the id 3, and writes that when it saves',
    'added_tokens[1].id is 0, but tokenizers gives "b" the id 1, and writes that when it saves',
    'added_tokens[2].content is "<s>", which is added twice',
  ]);
});

test("merges are of tokens, and give one", () => {
  const bad = (merges: unknown) => problems({ model: { ...BPE, merges } });
  expect(bad([["a", "b"]])).toEqual([]);
  expect(bad(["b a", "x b"])).toEqual([
    'model.merges[0] is ["b","a"], but the vocabulary has no "ba"',
    'model.merges[1] is ["x","b"], but the vocabulary has no "x"',
  ]);
  expect(bad(["ab"])).toEqual(['model.merges[0] is "ab", expected two tokens with one space between them']);
  expect(bad(["a b", ["a", "b"]])).toEqual(['model.merges[0] is "a b", expected a list of two tokens']);
});

test("a broken vocabulary is told in a few lines", () => {
  const vocab = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`t${i}`, -1]));
  const told = problems({ model: { ...BPE, vocab, merges: [] } });
  expect([told.length, told.at(-1)]).toEqual([21, "and 4980 more"]);
});

test("what Rust's JSON reader refuses is refused", () => {
  let deep: unknown = 0;
  for (let i = 0; i < 200; i++) deep = [deep];
  const normalizer = { type: "NFC" };
  expect(problems({ normalizer: { ...normalizer, x: deep } })[0]).toContain(
    "is nested deeper than 127 levels",
  );
  expect(problems({ normalizer: { type: "Prepend", prepend: "\ud800" } })[0]).toContain(
    "expected whole characters",
  );
  expect(problems({ normalizer: { ...normalizer, x: Infinity } })[0]).toContain("expected a number");
});

test("a post-processor or decoder whose fields are another's is refused", () => {
  const fields = { sep: ["a", 0], cls: ["b", 1], trim_offsets: true, add_prefix_space: true };
  expect(problems({ post_processor: { type: "RobertaProcessing", ...fields } })).toEqual([]);
  expect(problems({ post_processor: { type: "BertProcessing", ...fields } })).toEqual([
    'post_processor.type is "BertProcessing", but tokenizers takes this for RobertaProcessing by its fields',
  ]);
});

test("a template names the tokens that it defines", () => {
  const single = [{ SpecialToken: { id: "[CLS]", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }];
  const template = { type: "TemplateProcessing", single, pair: [], special_tokens: {} };
  expect(problems({ post_processor: template })).toEqual([
    'post_processor.single[0].SpecialToken.id is "[CLS]", expected a token of special_tokens, which is empty',
  ]);
});
