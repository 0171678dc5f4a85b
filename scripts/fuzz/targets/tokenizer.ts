import { join } from "node:path";
import { type FileSource, readJson } from "../../../src/io/files/files.ts";
import type { Tokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { openTokenizer } from "../../../src/io/tokenizer/tokenizer-files.ts";
import { fail } from "../../../src/util/fail.ts";
import { isObject, type JsonObject } from "../../../src/util/json.ts";
import type { Random } from "../../../src/util/random.ts";
import { FIXTURES, jsonAt, textAt, treeAt } from "../corpus.ts";
import { type JsonTree, textOf, treeOf } from "../json-tree.ts";
import { mutateJson } from "../mutate-json.ts";
import { bytesOf, mutateText } from "../mutate-text.ts";
import { ensure, folderOf, type InputFiles, type Target } from "../target.ts";

/** A folder in parts: JSON as trees, other files as texts. */
type Folder = ReadonlyMap<string, JsonTree | string>;

let folders: readonly Folder[] | undefined;

/** Tokenizers of every component, as one file and in the older forms. */
function all(): readonly Folder[] {
  if (folders) return folders;
  const { bases } = jsonAt(join(FIXTURES, "tokenizer-mutations.json")) as { bases: Record<string, unknown> };
  const settings = treeOf({
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: "<s>",
    eos_token: { content: "</s>", lstrip: false, normalized: false, rstrip: false, single_word: false },
    unk_token: "<unk>",
    pad_token: null,
    added_tokens_decoder: { 1: { content: "<s>", special: true } },
    additional_special_tokens: ["<x>"],
    add_bos_token: true,
    do_lower_case: true,
    model_max_length: 512,
  });
  const beside: Folder = new Map([
    ["special_tokens_map.json", treeOf({ bos_token: "<s>", eos_token: "</s>", unk_token: "[UNK]" })],
    ["added_tokens.json", treeOf({ "<y>": 300, "<z>": 301 })],
    ["generation_config.json", treeOf({ bos_token_id: 1, eos_token_id: [2, 3], pad_token_id: 0 })],
  ]);
  const bytes = (name: string) => join(FIXTURES, "byte-level", name);
  folders = [
    ...Object.values(bases).map((base): Folder => new Map([["tokenizer.json", treeOf(base)]])),
    ...Object.values(bases).map(
      (base): Folder =>
        new Map([["tokenizer.json", treeOf(base)], ["tokenizer_config.json", settings], ...beside]),
    ),
    new Map([
      ["tokenizer.json", treeAt("models/demo/tokenizer.json")],
      ["tokenizer_config.json", treeAt("models/demo/tokenizer_config.json")],
    ]),
    new Map<string, JsonTree | string>([
      ["vocab.json", treeAt(bytes("vocab.json"))],
      ["merges.txt", textAt(bytes("merges.txt"))],
      ["tokenizer_config.json", treeOf({ tokenizer_class: "GPT2Tokenizer" })],
      ...beside,
    ]),
    new Map<string, JsonTree | string>([
      ["vocab.txt", textAt(join(FIXTURES, "wordpiece", "vocab.txt"))],
      ["tokenizer_config.json", treeOf({ tokenizer_class: "BertTokenizer", do_lower_case: true })],
    ]),
  ];
  return folders;
}

function broken(folder: Folder, random: Random): InputFiles {
  // The first file has the vocabulary and most of what can go wrong.
  const names = [...folder.keys()];
  const name = random.integer(2) === 0 ? (names[0] as string) : random.pick(names);
  const donors = random.pick(all());
  return new Map(
    names.map((other) => {
      const part = folder.get(other) as JsonTree | string;
      const donor = donors.get(other);
      if (other !== name)
        return [other, new TextEncoder().encode(typeof part === "string" ? part : textOf(part))];
      if (typeof part === "string") return [other, bytesOf(mutateText(part, random), random)];
      const trees = typeof donor === "object" ? [donor] : [];
      return [other, bytesOf(textOf(mutateJson(part, random, trees)), random)];
    }),
  );
}

const TEXTS = [
  "",
  "ab b  a\tab\n",
  "A É \u{1f600} 123,4.5 don't",
  "<s>a</s> [CLS] ##b ▁ab",
  "\0\u202e e\u0301 \ufeff中文 ".repeat(40),
];

/** A tokenizer's files: texts become ids of the vocabulary and come to an end, and ids become texts. */
export const tokenizer: Target = {
  make: (random) => broken(random.pick(all()), random),
  async read(input) {
    const files = folderOf(input);
    const opened = await openTokenizer(files, {
      config: { model_type: "llama" },
      generationConfig: await generationConfig(files),
    });
    ensure(opened !== undefined, () => "the folder has no tokenizer");
    if (opened) for (const text of TEXTS) check(opened, text);
  },
};

/** As checkpoints read it. */
async function generationConfig(files: FileSource): Promise<JsonObject> {
  const name = "generation_config.json";
  const json = (await files.size(name)) === undefined ? {} : await readJson(files, name);
  return isObject(json) ? json : fail(name, "is no object", "give that of a model");
}

function check(tokenizer: Tokenizer, text: string): void {
  const { vocabSize } = tokenizer;
  const ids = tokenizer.encode(text);
  const isId = (id: number) => Number.isSafeInteger(id) && id >= 0 && id < vocabSize;
  ensure(
    ids.every(isId),
    () => `${JSON.stringify(text)} has an id beyond ${vocabSize}: ${ids.find((id) => !isId(id))}`,
  );
  const start = tokenizer.encodeStart(text, 3);
  ensure(
    String(start) === String(ids.slice(0, 3)),
    () => `${JSON.stringify(text)} begins with ${start}, not ${ids.slice(0, 3)}`,
  );
  const { ids: pair, segments } = tokenizer.encodePair(text, "b a");
  ensure(pair.every(isId) && segments.length === pair.length, () => "a pair has other ids or segments");
  const decoded = tokenizer.decode(ids, { skipSpecialTokens: false });
  ensure(typeof decoded === "string" && decoded.isWellFormed(), () => `${ids} are no text`);
  const stream = tokenizer.decodeStream({ skipSpecialTokens: false });
  for (const id of ids) stream.push(id);
  stream.flush();
}
