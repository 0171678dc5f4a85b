import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { pairEncoder } from "../../../src/data/tokenize/encode-pair.ts";
import { openTokenizer } from "../../../src/io/tokenizer/tokenizer-files.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";
import { filesOf } from "../helpers.ts";
import { openFolder } from "./open-folder.ts";

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

function open({ folder, files, config }: Golden) {
  const read = (file: string) => {
    const [source, name = source] = file.split("=") as [string, string?];
    return [name, new Uint8Array(readFileSync(`${SHARED}/${folder}/${source}`))] as const;
  };
  const hasConfig = files.includes("tokenizer_config.json");
  const own = hasConfig ? readJsonFile<object>(`${SHARED}/${folder}`, "tokenizer_config.json") : {};
  return openFolder({
    ...Object.fromEntries(files.map(read)),
    "tokenizer_config.json": { ...own, ...config },
  });
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
  const openWith = (config: Record<string, unknown>, files: Record<string, unknown> = {}) =>
    openFolder({
      "vocab.json": vocab,
      "merges.txt": merges,
      "tokenizer_config.json": { tokenizer_class: "GPT2Tokenizer", ...config },
      ...files,
    });

  test("special tokens that the vocabulary lacks get new ids", async () => {
    const tokenizer = await openWith({
      eos_token: "<end>",
      pad_token: { content: "<pad>" },
      additional_special_tokens: ["<x>"],
    });
    expect(tokenizer).toMatchObject({ eosTokenId: 4, padTokenId: 5, vocabSize: 7 });
    expect(tokenizer.encode("ab<end>b<x>")).toEqual([2, 4, 1, 6]);
  });

  test("what cannot be used is named, with the remedy", async () => {
    await expect(openWith({ tokenizer_class: "BloomTokenizer" })).rejects.toThrow(
      /how BloomTokenizer splits[\s\S]*save_pretrained/,
    );
    await expect(openWith({}, { "vocab.json": ["a"] })).rejects.toThrow(
      "vocab.json: is not an object of token",
    );
    await expect(openWith({}, { "merges.txt": "a b c" })).rejects.toThrow('"a b c" is no pair of tokens');
  });

  test("a folder without a vocabulary has no tokenizer", async () => {
    const only = (name: string) =>
      openTokenizer(filesOf({ [name]: {} }), { config: { model_type: "qwen2" } });
    expect(await only("config.json")).toBeUndefined();
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
  const openCase = (config: Record<string, unknown>, model_type?: string) =>
    openFolder({
      "vocab.json": readJsonFile(folder, "vocab.json"),
      "merges.txt": readFileSync(`${folder}/merges.txt`, "utf8"),
      "tokenizer_config.json": config,
      "config.json": { model_type },
    });

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
