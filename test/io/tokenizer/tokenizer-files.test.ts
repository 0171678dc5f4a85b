import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { pairEncoder } from "../../../src/data/encode-pair.ts";
import { memoryFiles, readJson } from "../../../src/io/files/files.ts";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { byteLevelTokenizer, readTokenizerJson } from "../../../src/io/tokenizer/tokenizer-files.ts";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";

interface Golden {
  folder: string;
  /** Files as the folder names them; `a=b`: read under the name b. */
  files: string[];
  config: Record<string, unknown>;
  ids: number[][];
  plain: number[][];
  decoded: string[];
  text: string[];
  bos: number | null;
  eos: number;
}

const { texts, cases } = readJsonFile<{ texts: string[]; cases: Record<string, Golden> }>(
  fixturePath("."),
  "tokenizers.json",
);
const SHARED = "../shared/data/tokenizers";

async function open({ folder, files, config }: Golden) {
  const read = (file: string) => {
    const [source, name = source] = file.split("=") as [string, string?];
    return [name, new Uint8Array(readFileSync(`${SHARED}/${folder}/${source}`))] as const;
  };
  const source = memoryFiles(folder, new Map(files.map(read)));
  const hasConfig = files.includes("tokenizer_config.json");
  const own = hasConfig ? ((await readJson(source, "tokenizer_config.json")) as object) : {};
  const merged = { ...own, ...config };
  return createTokenizer(await readTokenizerJson(source, merged, "gpt2"), merged, { eos_token_id: 50256 });
}

// Oracle: transformers 5.18 (test/fixtures/make_tokenizers.py).
describe.each(Object.entries(cases))("%s", (_, golden) => {
  test("ids, text and special tokens are those of transformers", async (context) => {
    if (!existsSync(`${SHARED}/${golden.folder}`)) context.skip(`${SHARED}/${golden.folder} is not there`);
    const tokenizer = await open(golden);
    expect(texts.map((text) => tokenizer.encode(text))).toEqual(golden.ids);
    expect(texts.map((text) => tokenizer.encode(text, { addSpecialTokens: false }))).toEqual(golden.plain);
    const decode = (skipSpecialTokens: boolean) =>
      golden.ids.map((ids) => tokenizer.decode(ids, { skipSpecialTokens }));
    expect(decode(false)).toEqual(golden.decoded);
    expect(decode(true)).toEqual(golden.text);
    expect(tokenizer.eosTokenId).toBe(golden.eos);
    if (golden.bos !== null && "bos_token" in golden.config) expect(tokenizer.bosTokenId).toBe(golden.bos);
  });
});

describe("vocab.json and merges.txt", () => {
  const vocab = { a: 0, b: 1, ab: 2, "<|endoftext|>": 3 };
  const merges = "#version: 0.2\na b\n";
  const make = (config: Record<string, unknown>, more: { vocab?: unknown; merges?: string } = {}) =>
    byteLevelTokenizer({ vocab, merges, config: { tokenizer_class: "GPT2Tokenizer", ...config }, ...more });

  test("special tokens that the vocabulary lacks get new ids", () => {
    const config = {
      eos_token: "<end>",
      pad_token: { content: "<pad>" },
      additional_special_tokens: ["<x>"],
    };
    const tokenizer = createTokenizer(make(config), config);
    expect(tokenizer).toMatchObject({ eosTokenId: 4, padTokenId: 5, vocabSize: 7 });
    expect(tokenizer.encode("ab<end>b<x>")).toEqual([2, 4, 1, 6]);
  });

  test("what cannot be used is named, with the remedy", () => {
    expect(() => make({ tokenizer_class: "BloomTokenizer" })).toThrow(
      /how BloomTokenizer splits[\s\S]*save_pretrained/,
    );
    expect(() => make({}, { vocab: ["a"] })).toThrow("vocab.json: is not an object of token");
    expect(() => make({}, { merges: "a b c" })).toThrow('"a b c" is no pair of tokens');
    expect(() => make({ add_bos_token: true, bos_token: "<|endoftext|>" })).not.toThrow();
  });

  test("a folder without a vocabulary has no tokenizer", async () => {
    const only = (name: string) => memoryFiles("folder", new Map([[name, new Uint8Array([123, 125])]]));
    expect(await readTokenizerJson(only("config.json"), {}, "qwen2")).toBeUndefined();
    expect(await readTokenizerJson(only("vocab.json"), {}, "qwen2")).toBeUndefined();
  });
});

// Oracle: transformers 5.18 (test/fixtures/make_byte_level.py).
describe("classes of byte-level tokenizers", () => {
  interface Case {
    config: Record<string, unknown>;
    ids: number[][];
    plain: number[][];
    text: string[];
    pairs: number[][];
    size: number;
  }
  const folder = fixturePath("byte-level");
  const golden = readJsonFile<{ texts: string[]; pairs: [string, string][]; cases: Record<string, Case> }>(
    folder,
    "golden.json",
  );
  const openCase = async (config: Record<string, unknown>, modelType?: string) =>
    createTokenizer(await readTokenizerJson(folderFiles(folder), config, modelType), config);

  test.each(Object.entries(golden.cases))("%s", async (_, { config, ids, plain, text, pairs, size }) => {
    const tokenizer = await openCase(config);
    const encodePair = pairEncoder(tokenizer, 64);
    expect(golden.texts.map((text) => tokenizer.encode(text))).toEqual(ids);
    expect(golden.texts.map((text) => tokenizer.encode(text, { addSpecialTokens: false }))).toEqual(plain);
    expect(ids.map((row) => tokenizer.decode(row))).toEqual(text);
    expect(golden.pairs.map(([first, second]) => encodePair(first, second).ids)).toEqual(pairs);
    expect(tokenizer.vocabSize).toBe(Math.max(size, 277)); // len() leaves out what the class does not use
  });

  test("RoBERTa's second text is of the same segment as the first", async () => {
    const tokenizer = await openCase({}, "roberta");
    const { ids, segments } = tokenizer.encodePair("a", "b");
    expect(segments).toEqual(ids.map(() => 0));
    expect(tokenizer.maskTokenId).toBe(275);
  });
});
