import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readTokenizerSchema } from "../../../src/io/tokenizer/schema/schema.ts";
import { cutsAtSpaces } from "../../../src/io/tokenizer/text-start.ts";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { createRandom } from "../../../src/util/random.ts";
import { BUNDLED_MODEL, sharedPath } from "../../support/fixtures.ts";

const PIECES = [
  ..."abcdez \n\t.,'-0129",
  ...[
    " ",
    " ",
    " ",
    "the ",
    " of ",
    "  ",
    "é",
    "ß",
    "Σ",
    "ΑΣ ",
    "한",
    "好 ",
    "🙂",
    "\u0301",
    "\u200d",
    "\u00a0",
  ],
  ...["Once upon a time", "it's", "</s>", "<s>", " <unk>", "▁", "Ġ", "\r\n", "ﬁ", "...", "🙂 "],
];

function textOf(seed: number): string {
  const random = createRandom(seed);
  const length = 3000 + Math.floor(6000 * random.uniform());
  const pieces = Array.from({ length }, () => PIECES[Math.floor(PIECES.length * random.uniform())]);
  return pieces.join("");
}

const ADDED = { id: 4, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;

const TOKENIZERS = ["models/stories260K", "tokenizers/bert_base_uncased", "tokenizers/gpt2_hf"].concat([
  "tokenizers/smollm_135m",
  "tokenizers/tinyllama_llama2",
]);

describe("the start of a text has the ids that the whole begins with", () => {
  const compare = (folder: string) => {
    const json = readJson(`${folder}/tokenizer.json`);
    const tokenizer = createTokenizer(json);
    expect(cutsAtSpaces(readTokenizerSchema(json)), "it can be cut").toBe(true);
    for (let seed = 0; seed < 6; seed++) {
      const text = textOf(seed);
      const whole = tokenizer.encode(text);
      for (const count of [1, 17, 300, whole.length]) {
        expect(tokenizer.encodeStart(text, count)).toEqual(whole.slice(0, count));
      }
    }
  };

  test("the bundled model's", () => compare(BUNDLED_MODEL));

  test.each(TOKENIZERS)("%s", (name) => {
    const folder = sharedPath(name);
    if (folder !== undefined) compare(folder);
  });
});

describe("what may look over a cut is encoded whole", () => {
  const bpe = { type: "BPE", vocab: { a: 0, b: 1, "▁": 2, "▁a": 3 }, merges: [["▁", "a"]] };
  const cuts = (parts: Record<string, unknown>) =>
    cutsAtSpaces(readTokenizerSchema({ model: bpe, ...parts }));
  const split = (Regex: string) => ({
    type: "Split",
    pattern: { Regex },
    behavior: "Isolated",
    invert: false,
  });

  test("the plain model is not", () => {
    expect(cuts({})).toBe(true);
    expect(cuts({ pre_tokenizer: split(" ?[a-z]+|\\s+(?!\\S)|\\s+") })).toBe(true);
  });

  test.each([
    ["a token over a space", { model: { ...bpe, vocab: { ...bpe.vocab, "a▁": 4 } } }],
    ["no token for a space", { model: { type: "BPE", vocab: { a: 0, b: 1, ab: 2 }, merges: [["a", "b"]] } }],
    ["an added token over a space", { added_tokens: [{ ...ADDED, content: "a b" }] }],
    ["merges that are ignored without splitting", { model: { ...bpe, ignore_merges: true } }],
    ["a mark at the end of a word", { model: { ...bpe, end_of_word_suffix: "b" } }],
    ["an expression over a space", { pre_tokenizer: split("[a-z]+ [a-z]+") }],
    ["an expression that looks ahead", { pre_tokenizer: split("[a-z]+(?= b)") }],
    ["pieces of a fixed length", { pre_tokenizer: { type: "FixedLength", length: 5 } }],
    [
      "a replacement of letters",
      { normalizer: { type: "Replace", pattern: { String: "a b" }, content: "c" } },
    ],
    ["words that are not split", { model: { type: "WordLevel", vocab: { a: 0, u: 1 }, unk_token: "u" } }],
  ])("%s", (_, parts) => {
    expect(cuts(parts)).toBe(false);
  });
});
