import { expect, test } from "vitest";
import { filesOfList, settleGiven } from "../../src/web/page/given-files.ts";
import { plainWords } from "../../src/web/page/plain-words.ts";

/** Files as a field for them gives them, each with its name as its content. */
const given = (...names: string[]) =>
  filesOfList(names.map((name) => Object.assign(new File([name], name), { webkitRelativePath: "" })));

test.each<[names: string[], kind: string, label: string]>([
  [["config.json", "model.safetensors"], "model", "your files"],
  [["model.gguf"], "model", "model.gguf"],
  [["adapter_model.safetensors", "adapter_config.json"], "adapter", "adapter"],
  [["a b#?.jsonl"], "rows", "a b#?.jsonl"],
])("%s are a %s", async (names, kind, label) => {
  expect(await settleGiven(given(...names))).toMatchObject({ kind, label });
});

test.each<[names: string[], words: RegExp]>([
  [["a.jsonl", "b.csv"], /^your files: are 2 files of examples\nGive one at a time/],
  [["a.png"], /^a\.png: is neither a model/],
  [["a.png", "b.png"], /^your files: is neither a model/],
  [["adapter_model.bin"], /half of an adapter\nadapter_config\.json belongs to it/],
  [["x.zip"], /^x\.zip: cannot be unpacked/],
])("%s are refused in words", async (names, words) => {
  const said = await settleGiven(given(...names)).then(String, plainWords);
  expect(said).toMatch(words);
});
