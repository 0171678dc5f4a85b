import { describe, expect, test } from "vitest";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";
import { openFolder } from "./open-folder.ts";

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

function filesOf({ base, files, config, edit }: Golden): Files {
  const own = { ...bases[base] };
  if (edit) own["tokenizer.json"] = { ...(own["tokenizer.json"] as object), ...edit };
  return { ...own, ...files, "config.json": config };
}

// Oracle: AutoTokenizer of transformers 5.18 (test/fixtures/make_token_roles.py).
describe("tokens and their roles are those of transformers", () => {
  test.each(Object.entries(cases))("%s", async (_, golden) => {
    const tokenizer = await openFolder(filesOf(golden));
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
