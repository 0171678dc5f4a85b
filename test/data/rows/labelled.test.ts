import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { jsonRows } from "../../../src/data/rows/json-lines.ts";
import {
  checkLabels,
  labelIndex,
  labelledTextReader,
  labelNames,
  TAGGED_WORDS_READER,
} from "../../../src/data/rows/labelled.ts";
import { collectRows } from "../../../src/data/rows/rows.ts";
import { encodeTaggedWords, textEncoder, tokenMasker } from "../../../src/data/tokenize/encode-task.ts";
import { specialFrame } from "../../../src/data/tokenize/special-frame.ts";
import { splitLines } from "../../../src/util/lines.ts";
import { createRandom } from "../../../src/util/random.ts";
import { openFolder } from "../../io/tokenizer/open-folder.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";

const jsonLines = (text: string) => jsonRows(splitLines(text), "t.jsonl");
const labelled = (text: string) => collectRows(jsonLines(text), "t.jsonl", labelledTextReader());
const VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "the", "game", "s", "##s"];
const tokenizer = await openFolder({
  "vocab.txt": VOCABULARY.join("\n"),
  "config.json": { model_type: "bert" },
});

describe("labels", () => {
  test("names in order: of numbers by size, of others by their letters", () => {
    expect(labelNames(["10", "9", "9"])).toEqual(["9", "10"]);
    expect(labelNames(["b", "A", "10"])).toEqual(["10", "A", "b"]);
  });

  test("a label is a name, or an index where the names are no numbers", () => {
    const index = labelIndex(["no", "yes"]);
    expect([index("yes"), index("1"), index("2"), index("maybe")]).toEqual([1, 1, -1, -1]);
    const numbers = labelIndex(["3", "1"]);
    expect([numbers("1"), numbers("3"), numbers("0")]).toEqual([1, 0, 0]);
    expect(() => checkLabels(["yes", "no", "x", "7"], ["no", "yes"], "dev.csv")).toThrow(
      "dev.csv: the labels 7, x are outside the head, which has no, yes",
    );
  });

  test("tags and tokens of unequal number are refused, row by row", () => {
    const rows = jsonLines('{"tokens":["a"],"tags":[0,1]}\n\n{"tokens":"a","tags":[0]}\n');
    expect(() => collectRows(rows, "t.jsonl", TAGGED_WORDS_READER)).toThrow(
      /t\.jsonl:1: has 1 tokens and 2 tags[\s\S]*t\.jsonl:3: "tokens" is "a", wanted a list of strings/,
    );
  });
});

describe("texts as tokens", () => {
  test("a long text is cut between the special tokens", () => {
    expect(specialFrame(tokenizer)).toEqual({ before: [2], after: [3] });
    const encoder = textEncoder(tokenizer, 4);
    expect(encoder.encode("the playing games")).toEqual([2, 7, 5, 3]);
    expect(encoder.encode("")).toEqual([2, 3]);
    expect(() => textEncoder(tokenizer, 2)).toThrow("2 leaves no room");
  });

  test("a word's first token has its label, the others and the special ones none", () => {
    const rows = [{ words: ["playing", "the", "games"], tags: ["V", "O", "N"] }];
    const [sequence] = encodeTaggedWords(rows, textEncoder(tokenizer, 16), ["N", "O", "V"]);
    expect(sequence).toEqual({
      inputIds: [2, 5, 6, 7, 8, 10, 3],
      labels: [-100, 2, -100, 1, 0, -100, -100],
    });
  });
});

describe("masking", () => {
  const options = { maskTokenId: 4, vocabSize: 11, special: [2, 3] };
  const inputIds = [2, ...Array.from({ length: 2000 }, (_, i) => 5 + (i % 6)), 3];

  test("15 % are to be predicted: 80 % of them hidden, 10 % another token, 10 % as they were", () => {
    const { inputIds: ids, labels } = tokenMasker(options)({ inputIds }, createRandom(1));
    const chosen = labels.flatMap((label, i) => (label >= 0 ? [i] : []));
    expect(chosen.length / 2000).toBeCloseTo(0.15, 1);
    const share = (accepts: (i: number) => boolean) => chosen.filter(accepts).length / chosen.length;
    expect(Math.abs(share((i) => ids[i] === 4) - 0.8)).toBeLessThan(0.08);
    expect(Math.abs(share((i) => ids[i] === inputIds[i]) - 0.1)).toBeLessThan(0.07);
    expect(labels.every((label, i) => label === -100 || label === inputIds[i])).toBe(true);
    expect([labels[0], labels.at(-1), ids[0], ids.at(-1)]).toEqual([-100, -100, 2, 3]);
  });

  test("the same randomness hides the same, and a short text is never without a loss", () => {
    const mask = tokenMasker({ ...options, probability: 0 });
    expect(mask({ inputIds: [2, 7, 3] }, createRandom(3)).labels).toEqual([-100, 7, -100]);
    const again = tokenMasker(options);
    expect(again({ inputIds }, createRandom(5))).toEqual(again({ inputIds }, createRandom(5)));
  });
});

// Oracle: transformers 5.18 (test/fixtures/make_wordpiece.py): truncation=True, which is longest_first.
test("pairs of texts are framed and cut as transformers does it", async () => {
  interface Cut {
    pair: [string, string];
    max_length: number;
    ids: number[];
    types: number[];
  }
  const folder = fixturePath("wordpiece");
  const { pairs } = readJsonFile<{ pairs: Cut[] }>(folder, "golden.json");
  const small = await openFolder({
    "vocab.txt": readFileSync(`${folder}/vocab.txt`, "utf8"),
    "config.json": { model_type: "bert" },
  });
  for (const { pair, max_length, ids, types } of pairs) {
    expect(textEncoder(small, max_length).encodePair(...pair), `${pair} ${max_length}`).toEqual({
      ids,
      segments: types,
    });
  }
  expect(() => textEncoder(small, 4).encodePair("a", "b")).toThrow(
    /4 leaves no room for two texts[\s\S]*give 5 or more/,
  );
});

test("rows are all pairs or none", () => {
  expect(labelled('{"text":"a","text_pair":"b","label":1}')).toEqual([
    { text: "a", textPair: "b", label: "1" },
  ]);
  expect(() => labelled('{"text":"a","text_pair":"b","label":1}\n{"text":"a","label":1}')).toThrow(
    /t\.jsonl:2: has no "text_pair"[\s\S]*each row needs "text" and "label"/,
  );
  expect(() => labelled('{"text":"a","label":1}\n{"text":"a","text_pair":"b","label":1}')).toThrow(
    /t\.jsonl:2: has "text_pair", which the first row has not/,
  );
});

test.each([
  ['"pos"', "pos"],
  ["9007199254740991", "9007199254740991"],
  ["true", "true"],
  ['"9007199254740993"', "9007199254740993"],
  ['"__proto__"', "__proto__"],
])("the label %s is the class %s", (json, name) => {
  expect(labelled(`{"text":"a","label":${json}}`)[0]?.label).toBe(name);
});

test.each([
  [
    "9007199254740993",
    /"label" is 9007199254740992, wanted .*beyond 2\^53 are rounded: write it as a string/,
  ],
  ["1.5", /"label" is 1\.5, wanted a name or a whole number/],
  ["null", /"label" is null, wanted/],
  ['[["a"]]', /"label" is \[\["a"\]\], wanted/],
  ['{"a":1}', /"label" is \{"a":1\}, wanted/],
  ['""', /"label" is "", wanted/],
])("the label %s is refused", (json, message) => {
  expect(() => labelled(`{"text":"a","label":${json}}`)).toThrow(message);
});

test("tags beyond 2^53 and words that are no text are refused", () => {
  const tagged = (row: string) => () => collectRows(jsonLines(row), "t.jsonl", TAGGED_WORDS_READER);
  expect(tagged('{"tokens":["a"],"tags":[9007199254740993]}')).toThrow(/beyond 2\^53 are rounded/);
  expect(tagged('{"tokens":["\\ud800"],"ner_tags":[1]}')).toThrow(/"tokens" is \["\\ud800"\], wanted/);
});
