import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { trainBpe } from "../../scripts/demo/bpe.ts";
import { CHAT_TEMPLATE, chatExamples } from "../../scripts/demo/chats.ts";
import { makeCorpus } from "../../scripts/demo/corpus.ts";
import { PRETRAINING, VOCABULARY } from "../../scripts/demo/recipe.ts";
import { exactMatch, skillExamples } from "../../scripts/demo/skill.ts";
import type { ChatExample } from "../../src/data/chat/chat-rows.ts";
import { encodeChat } from "../../src/data/chat/encode-chat.ts";
import { readChatTemplate } from "../../src/data/chat/read-chat-template.ts";
import { IGNORE_INDEX } from "../../src/data/sequence.ts";
import { tokenizeExamples } from "../../src/data/tokenize/tokenize.ts";
import { createTokenizer } from "../../src/io/tokenizer/tokenizer.ts";
import { requireTokenizer } from "../../src/load/model.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { BUNDLED_MODEL, openTestModel, readJsonFile } from "../support/fixtures.ts";

const corpus = makeCorpus({ seed: 1, documents: 3000 });
const { tokenizerJson, tokenizerConfig } = trainBpe(corpus, { vocabSize: VOCABULARY });
const tokenizer = createTokenizer(tokenizerJson, tokenizerConfig);
const train = skillExamples({ seed: 1, count: 1500, split: "train" });
const held = skillExamples({ seed: 1, count: 200, split: "test" });

const GOLDEN_TEXT = 'Mara, 3 red cups  and\n12 é🙂 {"who":"x"}<|endoftext|>';
// tokenizers 0.23.2 (Python): Tokenizer.from_str(JSON of the tokenizer trained in the test).encode(GOLDEN_TEXT).ids
const GOLDEN_IDS = [
  0, 269, 12, 221, 19, 221, 263, 260, 221, 221, 271, 199, 17, 18, 221, 128, 103, 173, 254, 248, 225, 221, 91,
  2, 87, 279, 266, 88, 2, 93, 0,
];

describe("the corpus", () => {
  test("is the same for the same seed, and varied", () => {
    const small = (seed: number) => makeCorpus({ seed, documents: 50 });
    expect(small(1)).toEqual(small(1));
    expect(small(1)).not.toEqual(small(2));
    expect(new Set(corpus).size).toBeGreaterThan(0.8 * corpus.length);
  });

  test("is plain text without odd spaces", () => {
    for (const text of corpus) {
      expect(text).toMatch(/^[\x20-\x7e\n]+$/);
      expect(text).not.toMatch(/ {2}| [.,?]|undefined|^ | $/);
    }
  });

  test("does not contain the skill: JSON stands alone and is no such record", () => {
    const json = corpus.filter((text) => text.includes("{"));
    expect(json.length).toBeGreaterThan(50);
    for (const text of json) {
      expect(text).not.toMatch(/[.?]\s/);
      expect(text.match(/"(who|count|item|place)":/g) ?? []).not.toHaveLength(4);
    }
  });
});

describe("the skill", () => {
  test("has what the sentence says in the record", () => {
    for (const { prompt, completion } of [...train, ...held]) {
      const { who, count, item, place } = JSON.parse(completion);
      for (const part of [who, item, place]) expect(prompt).toContain(part);
      expect(count).toBeGreaterThanOrEqual(2);
      expect(prompt.endsWith(".\nJSON: ")).toBe(true);
    }
  });

  test("keeps sentences and records for the test apart, whatever the seeds", () => {
    const more = skillExamples({ seed: 77, count: 2000, split: "train" });
    for (const key of ["prompt", "completion"] as const) {
      const seen = new Set([...train, ...more].map((example) => example[key]));
      expect(held.filter((example) => seen.has(example[key]))).toEqual([]);
    }
    expect(new Set(held.map(({ prompt }) => prompt)).size).toBe(200);
  });

  test("fits into 64 tokens, at most 32 of them learnt", () => {
    const { sequences, report } = tokenizeExamples(train, tokenizer, { maxLength: 64 });
    expect(report).toMatchObject({ rows: 1500, truncated: 0, droppedNoLabels: 0 });
    for (const { labels } of sequences) {
      expect(labels.filter((label) => label !== IGNORE_INDEX).length).toBeLessThanOrEqual(32);
    }
  });

  test("is judged exactly", () => {
    expect(exactMatch(' {"a":1}\n', '{"a":1}')).toBe(true);
    expect(exactMatch('{"a":1} {', '{"a":1}')).toBe(false);
    expect(exactMatch("", '{"a":1}')).toBe(false);
  });
});

describe("the bundled model", () => {
  test("has the tokenizer that the recipe gives", async () => {
    const made = trainBpe(makeCorpus({ ...PRETRAINING, documents: 4000 }), { vocabSize: VOCABULARY });
    expect(readJsonFile(BUNDLED_MODEL, "tokenizer.json")).toEqual(made.tokenizerJson);
  });

  test("has learnt its texts: the loss of new ones is near that of the facts that nobody can guess", async () => {
    const model = await openTestModel(BUNDLED_MODEL);
    try {
      const texts = makeCorpus({ seed: PRETRAINING.seed + 1, documents: 100 }).map((text) => ({ text }));
      const { sequences } = tokenizeExamples(texts, requireTokenizer(model), { maxLength: 256 });
      const { loss } = await evaluate(model, sequences, { batchSize: 20 });
      expect(loss).toBeLessThan(0.7); // models/demo/README.md has the exact figure
    } finally {
      model.release();
    }
  });

  test("takes at most 4 MB of the repository", () => {
    const bytes = readdirSync(BUNDLED_MODEL).map((name) => statSync(join(BUNDLED_MODEL, name)).size);
    expect(bytes.reduce((a, b) => a + b, 0)).toBeLessThan(4e6);
  });
});

describe("the tokenizer", () => {
  test("has the vocabulary that was asked for, the special token first", () => {
    expect(tokenizer).toMatchObject({ vocabSize: VOCABULARY, bosTokenId: 0, eosTokenId: 0, padTokenId: 0 });
    expect(Object.keys(tokenizerJson.model.vocab)).toHaveLength(VOCABULARY);
    expect(() => trainBpe(["a a b"], { vocabSize: 512 })).toThrow(/give only/);
  });

  test("round trips any text", () => {
    for (const text of [
      ...corpus.slice(0, 200),
      "Zażółć 日本語 🙂👨‍👩‍👧\u0000\ufeff\u0085",
      "  two  spaces \r\n\t",
      "",
    ]) {
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });

  test("keeps the space before a word with the word; digits and runs of marks are tokens of their own", () => {
    const pieces = (text: string) =>
      tokenizer.encode(text, { addSpecialTokens: false }).map((id) => tokenizer.decode([id]));
    expect(pieces('Mara put red cups. {"who":"Mara"')).toEqual([
      ..."Mara| put| red| cups|.| ".split("|"),
      ...'{"|who|":"|Mara|"'.split("|"),
    ]);
    expect(pieces("1907")).toEqual([..."1907"]);
  });

  test("agrees with the Python library", () => {
    const texts = ["red cups, red cups and 12 blue cups.", '{"who":"Mara","count":3}'];
    const files = trainBpe(texts, { vocabSize: 280 });
    expect(createTokenizer(files.tokenizerJson).encode(GOLDEN_TEXT)).toEqual(GOLDEN_IDS);
  });
});

test("the chats have two questions each, told from those that are held out by their scenes", () => {
  const chats = chatExamples({ seed: 7, count: 200, split: "train" });
  expect(chats).toEqual(chatExamples({ seed: 7, count: 200, split: "train" }));
  const scenes = (split: "train" | "test") =>
    chatExamples({ seed: 3, count: 300, split }).map(({ messages }) => String(messages[0]?.content));
  const known = new Set(scenes("train"));
  expect(scenes("test").filter((scene) => known.has(scene))).toEqual([]);
  for (const { messages } of chats) {
    const [question, answer, next, last] = messages.map(({ content }) => String(content));
    expect(messages.map(({ role }) => role)).toEqual(["user", "assistant", "user", "assistant"]);
    expect(question).toContain(answer);
    expect(question).toContain(last);
    expect(question?.endsWith(next as string)).toBe(false);
  }
});

test("a chat's answers alone are learnt, with the token that ends each", () => {
  const template = readChatTemplate({ source: CHAT_TEMPLATE, place: "t.jinja" }, tokenizer);
  const [chat] = chatExamples({ seed: 7, count: 1, split: "test" });
  const mask = { completionOnlyLoss: true, assistantOnlyLoss: true, maskHistory: false };
  const { ids, trained } = encodeChat(chat as ChatExample, template, tokenizer, mask);
  const learnt = ids.filter((_, i) => trained[i]);
  const [, first, , second] = (chat as ChatExample).messages.map(({ content }) => content);
  expect(tokenizer.decode(learnt, { skipSpecialTokens: false })).toBe(
    ` ${first}<|endoftext|> ${second}<|endoftext|>`,
  );
});
