import { describe, expect, test } from "vitest";
import { openTokenizer } from "../../../src/io/tokenizer/tokenizer-files.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";
import { filesOf } from "../helpers.ts";
import { openFolder } from "./open-folder.ts";
import { GPT2_JSON } from "./tiny-tokenizer.ts";

type Files = Record<string, unknown>;

interface Golden {
  base: string;
  files: Files;
  config: Files;
  /** What differs in the base's tokenizer.json. */
  edit?: object;
  roles: Record<string, number | null>;
  size: number;
  ids: number[][];
  pair: number[];
  text: string[];
  all: string[];
}

const { texts, bases, cases } = readJsonFile<{
  texts: string[];
  bases: Record<string, Files>;
  cases: Record<string, Golden>;
}>(fixturePath("."), "token-roles.json");

function folderOf({ base, files, config, edit }: Golden): Files {
  const own = { ...bases[base] };
  if (edit) own["tokenizer.json"] = { ...(own["tokenizer.json"] as object), ...edit };
  return { ...own, ...files, "config.json": config };
}

// Oracle: AutoTokenizer of transformers 5.18 (test/fixtures/make_token_roles.py).
describe("tokens and their roles are those of transformers", () => {
  test.each(Object.entries(cases))("%s", async (_, golden) => {
    const tokenizer = await openFolder(folderOf(golden));
    const { bos_token, eos_token, pad_token, mask_token } = golden.roles;
    const wanted = { bosTokenId: bos_token, eosTokenId: eos_token, padTokenId: pad_token };
    for (const [role, id] of Object.entries(wanted)) {
      expect(tokenizer[role as keyof typeof wanted], role).toBe(id ?? undefined);
    }
    if (mask_token !== null) expect(tokenizer.maskTokenId).toBe(mask_token);
    expect(texts.map((text) => tokenizer.encode(text))).toEqual(golden.ids);
    expect(tokenizer.encodePair("a", "b").ids).toEqual(golden.pair);
    expect(golden.ids.map((ids) => tokenizer.decode(ids))).toEqual(golden.text);
    expect(golden.ids.map((ids) => tokenizer.decode(ids, { skipSpecialTokens: false }))).toEqual(golden.all);
    expect(tokenizer.vocabSize).toBe(golden.size);
  });
});

const CONFIG = "tokenizer_config.json";

describe("ids of the model's files", () => {
  const open = (config: Files, generation: Files, names: Files = {}) =>
    openFolder({
      "tokenizer.json": GPT2_JSON,
      [CONFIG]: names,
      "config.json": config,
      "generation_config.json": generation,
    });

  test("generation_config.json and config.json are merged field by field", async () => {
    const config = { bos_token_id: 3, eos_token_id: 4, pad_token_id: -1 };
    expect(await open(config, {})).toMatchObject({ bosTokenId: 3, eosTokenId: 4, stopTokenIds: [4] });
    expect(await open(config, { bos_token_id: 7 })).toMatchObject({ bosTokenId: 7, eosTokenId: 4 });
    expect(await open(config, { eos_token_id: null })).toMatchObject({ eosTokenId: 4, stopTokenIds: [4] });
    expect((await open(config, {})).padTokenId).toBeUndefined();
    const several = await open({ eos_token_id: 4 }, { eos_token_id: [9, 8], pad_token_id: 9 });
    expect(several).toMatchObject({ eosTokenId: 9, padTokenId: 9, stopTokenIds: [9, 8] });
  });

  test("a token's name wins over its id, and both stop a text", async () => {
    const tokenizer = await open({ eos_token_id: [4, 5] }, {}, { eos_token: "<|endoftext|>" });
    expect(tokenizer).toMatchObject({ eosTokenId: 0, stopTokenIds: [0, 4, 5] });
  });

  test("a role that the tokenizer's files deny has no id, but for the EOS, which every text needs", async () => {
    const config = { bos_token_id: 3, eos_token_id: 4, pad_token_id: 5 };
    const tokenizer = await open(config, {}, { bos_token: null, eos_token: null, pad_token: null });
    expect(tokenizer).toMatchObject({ eosTokenId: 4, stopTokenIds: [4] });
    expect([tokenizer.bosTokenId, tokenizer.padTokenId]).toEqual([undefined, undefined]);
  });

  test("an id that is none is refused", async () => {
    await expect(open({ eos_token_id: "2" }, {})).rejects.toThrow(
      /eos_token_id is "2", expected a token's id/,
    );
    await expect(open({}, { eos_token_id: [1, 2.5] })).rejects.toThrow("eos_token_id is [1,2.5]");
  });
});

describe("files that cannot be meant", () => {
  const vocab = { a: 0, b: 1, "<|endoftext|>": 2 };
  const open = (files: Files, config: Files = { model_type: "gpt2" }) =>
    openFolder({ "vocab.json": vocab, "merges.txt": "#version: 0.2\n", "config.json": config, ...files });

  test.each<[string, Files, RegExp]>([
    [
      "a number for a token",
      { [CONFIG]: { eos_token: 5 } },
      /tokenizer_config.json: eos_token is 5[\s\S]*a token's text/,
    ],
    [
      "an object without its text",
      { "special_tokens_map.json": { eos_token: { lstrip: true } } },
      /map.json: eos_token is/,
    ],
    [
      "a flag that is none",
      { [CONFIG]: { eos_token: { content: "a", lstrip: "no" } } },
      /eos_token is .*"no"/,
    ],
    ["a text for a list", { [CONFIG]: { additional_special_tokens: "<x>" } }, /is "<x>", expected a list/],
    [
      "a token by no id",
      { [CONFIG]: { added_tokens_decoder: { x: { content: "<x>" } } } },
      /added_tokens_decoder.x/,
    ],
    [
      "an id that leaves a gap",
      { "added_tokens.json": { "<x>": 7 } },
      /"<x>" has the id 7, but tokenizers gives it 3/,
    ],
    [
      "an id of another token",
      { [CONFIG]: { added_tokens_decoder: { 1: { content: "<x>" } } } },
      /id 1, but .* it 3/,
    ],
    ["two ids for a token", { "added_tokens.json": { a: 5 } }, /"a" has the id 5, but tokenizers gives it 0/],
    ["one id for two", { "added_tokens.json": { "<x>": 3, "<y>": 3 } }, /"<y>" has the id 3, as has "<x>"/],
    ["an id that is none", { "added_tokens.json": { "<x>": "3" } }, /"<x>" is "3", expected its id/],
    [
      "special tokens as text",
      { [CONFIG]: { split_special_tokens: true } },
      /split_special_tokens true is not supported/,
    ],
    [
      "a new token in a vocabulary with gaps",
      { "vocab.json": { a: 0, b: 3, "<|endoftext|>": 1 }, [CONFIG]: { eos_token: "<x>" } },
      /"<x>" is not in the vocabulary, whose ids leave gaps/,
    ],
    [
      "an unknown word that is not in the vocabulary",
      {
        "tokenizer.json": bases.words?.["tokenizer.json"],
        [CONFIG]: { tokenizer_class: "BertTokenizer", unk_token: "<x>" },
      },
      /unk_token is "<x>", which the vocabulary lacks[\s\S]*such as \[UNK\]/,
    ],
    ["no object", { "special_tokens_map.json": [] }, /special_tokens_map.json: expected a JSON object/],
    [
      "a class that splits otherwise",
      { "vocab.txt": "a\nb\n", [CONFIG]: { tokenizer_class: "BertJapaneseTokenizer" } },
      /how BertJapaneseTokenizer splits/,
    ],
  ])("%s", async (_, files, message) => {
    await expect(open(files)).rejects.toThrow(message);
  });

  test("a gap that is filled is none", async () => {
    const ids = { "<x>": 3, "<y>": 4 };
    expect((await open({ "added_tokens.json": ids })).encode("b<y>a")).toEqual([1, 4, 0]);
  });

  test.each(["tokenizer.model", "spiece.model", "tekken.json", "vocab.json"])(
    "%s alone is named",
    async (name) => {
      const opened = openTokenizer(filesOf({ [name]: {} }), { config: {} });
      await expect(opened).rejects.toThrow(new RegExp(`${name} is the only file[\\s\\S]*save_pretrained`));
    },
  );
});

test("the model type names the roles of an XLM-R tokenizer that stands alone", async () => {
  const words = ["<s>", "<pad>", "</s>", "<unk>", "▁a"];
  const vocab = words.map((word) => [word, 0]);
  const json = { added_tokens: [], model: { type: "Unigram", unk_id: 3, vocab } };
  const opened = await openTokenizer(filesOf({ "tokenizer.json": json }), {
    config: { model_type: "xlm-roberta" },
  });
  expect(opened).toMatchObject({ bosTokenId: 0, eosTokenId: 2, padTokenId: 1 });
});
