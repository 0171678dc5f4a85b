import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fixturePath, readJsonFile, sharedPath } from "../../support/fixtures.ts";
import { openFolder } from "./open-folder.ts";

interface Golden {
  config: Record<string, unknown>;
  ids: number[][];
  decoded: string[];
}

const folder = fixturePath("wordpiece");
const golden = readJsonFile<{ texts: string[]; small: Golden[]; "bert-base-uncased": Golden[] }>(
  folder,
  "golden.json",
);

const BERT = { "config.json": { model_type: "bert" } };
const open = (path: string, config: Record<string, unknown>) =>
  openFolder({ "vocab.txt": new Uint8Array(readFileSync(path)), "tokenizer_config.json": config, ...BERT });

function check(path: string, cases: readonly Golden[]) {
  test.each(cases)("with $config: ids and texts of transformers", async ({ config, ids, decoded }) => {
    const tokenizer = await open(path, config);
    expect(golden.texts.map((text) => tokenizer.encode(text))).toEqual(ids);
    expect(ids.map((row) => tokenizer.decode(row))).toEqual(decoded);
  });
}

// Oracle: transformers 5.18 (test/fixtures/make_wordpiece.py).
describe("a small vocab.txt", () => {
  check(`${folder}/vocab.txt`, golden.small);

  test("the mask, the vocabulary's size, and tokens inside words that are no special tokens", async () => {
    const tokenizer = await open(`${folder}/vocab.txt`, {});
    expect(tokenizer.encode("[MASK]", { addSpecialTokens: false })).toEqual([4]);
    expect(tokenizer.encode("", { addSpecialTokens: true })).toEqual([2, 3]);
    expect(tokenizer.vocabSize).toBe(72);
  });
});

const real = sharedPath("tokenizers/bert_base_uncased/vocab.txt");
describe.skipIf(!real)("bert-base-uncased's vocab.txt", () => check(real ?? "", golden["bert-base-uncased"]));

test("a vocabulary without its special tokens, or with a token twice, is refused", async () => {
  const openText = (text: string) => openFolder({ "vocab.txt": text, ...BERT });
  await expect(openText("[PAD]\n[UNK]\na\n")).rejects.toThrow(
    "vocab.txt: lacks the special tokens [CLS], [SEP]",
  );
  await expect(openText("[PAD]\n[CLS]\na\n")).rejects.toThrow("vocab.txt: lacks the special token [UNK]");
  await expect(openText("[CLS]\n[SEP]\n[UNK]\na\na\n")).rejects.toThrow('has the token "a" twice');
});
