import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readTable } from "../../../src/cli/data-files.ts";
import { loadChats } from "../../../src/data/chat/late-chats.ts";
import {
  type JudgedExample,
  type PreferenceExample,
  type PreferenceRow,
  preferenceReader,
  readPreference,
  unpaired,
} from "../../../src/data/rows/preferences.ts";
import { IGNORE_INDEX, type Sequence } from "../../../src/data/sequence.ts";
import { preferenceEncoder } from "../../../src/data/tokenize/encode-preference.ts";
import { tokenizeJudged, tokenizePreferences } from "../../../src/data/tokenize/tokenize-preferences.ts";
import { openTokenizer } from "../../../src/io/tokenizer/tokenizer-files.ts";
import { folderFiles } from "../../../src/platform/node-files.ts";
import type { JsonObject } from "../../../src/util/json.ts";
import { BUNDLED_MODEL, fixturePath, readJsonFile, sharedPath } from "../../support/fixtures.ts";

await loadChats();

/** Ids, and how many of them at the beginning are the prompt's. */
type Cut = [ids: number[], prompt: number];

interface Case {
  name: string;
  max_length: number;
  truncation: "keep_start" | "keep_end";
  template?: string;
  rows: JsonObject[];
  made: ({ chosen: Cut; rejected: Cut } | [...Cut, label: boolean] | null)[];
}

interface Published {
  tokenizer: string;
  template: string;
  max_length: number;
  made: string;
}

const { cases, published } = readJsonFile<{ cases: Case[]; published: Published[] }>(
  fixturePath("."),
  "preferences.json",
);

const bundled = await open(BUNDLED_MODEL);

async function open(folder: string) {
  const tokenizer = await openTokenizer(folderFiles(folder), { config: {} });
  if (!tokenizer) throw new Error(`no tokenizer in ${folder}`);
  return tokenizer;
}

/** A sequence as the fixture has it: nothing predicts the first token, which TRL's mask does not say. */
function cutOf({ inputIds, labels }: Sequence): Cut {
  const first = labels.findIndex((label) => label !== IGNORE_INDEX);
  expect(labels.slice(Math.max(0, first))).toEqual(inputIds.slice(Math.max(0, first)));
  return [[...inputIds], first === 1 && inputIds.length > 0 ? 1 : first];
}

/** Of these rows the prompt ends with other tokens where the answer follows: TRL loses a part of the answer there. */
const hasSeam = ({ prompt, chosen }: JsonObject) => prompt === "In the hall, Ivan " || chosen === "same";

describe.each(cases)("TRL's $name at $max_length, $truncation", ({ rows, made, template, ...setting }) => {
  const { max_length: maxLength, truncation } = setting;
  const options = {
    maxLength,
    truncation: truncation === "keep_end" ? ("keep_end" as const) : ("truncate" as const),
    ...(template !== undefined && { chatTemplate: template }),
  };
  const encode = preferenceEncoder(bundled, options);

  test.each(rows.map((row, i) => [i, row, made[i]] as const))("row %i", (_, values, wanted) => {
    const row = readPreference(values) as PreferenceRow;
    expect(row).toBeTypeOf("object");
    const encoded = encode(row, 0);
    expect(encoded.fate === "kept").toBe(wanted !== null && wanted !== undefined);
    if (!wanted) return;
    const answers = encoded.answers.map(({ row }) => cutOf(row));
    expect(encoded.answers.map(({ row }) => row.straddler !== undefined)).toEqual(
      answers.map(() => hasSeam(values)),
    );
    const goldens: Cut[] = Array.isArray(wanted)
      ? [[wanted[0], wanted[1]]]
      : [wanted.chosen, wanted.rejected];
    if (Array.isArray(wanted)) expect(encoded.answers[0]?.name).toBe(wanted[2] ? "desirable" : "undesirable");
    for (const [i, [ids, prompt]] of answers.entries()) {
      const [goldenIds, goldenPrompt] = goldens[i] as Cut;
      const isCut = truncation === "keep_end" && goldenIds.length === maxLength;
      if (hasSeam(values)) {
        expect(ids.length).toBe(goldenIds.length);
        expect(prompt).toBe(goldenPrompt - 1);
      } else if (isCut) {
        expect(ids).toEqual([bundled.bosTokenId, ...goldenIds.slice(1)]); // BOS stays, which TRL cuts
      } else expect([ids, prompt]).toEqual([goldenIds, Math.max(1, goldenPrompt)]);
    }
  });
});

const dpo = sharedPath("datasets/llamafactory/dpo_en_demo.json");
/** Rows that are compared; the fixture has all 300. */
const SOME = 60;

const digest = (value: unknown) =>
  createHash("sha256").update(JSON.stringify(value)).digest("base64").slice(0, 6);

describe.skipIf(!dpo)("LLaMA-Factory's data set", () => {
  test.each(published)("by $tokenizer with the template of $template, as TRL has it", async (given) => {
    const tokenizer = await open(sharedPath(`tokenizers/${given.tokenizer}`) as string);
    const template = sharedPath(`tokenizers/chat_templates_trl/${given.template}.jinja`) as string;
    const options = { maxLength: given.max_length, chatTemplate: readFileSync(template, "utf8") };
    const { rows } = await readTable(dpo as string, preferenceReader());
    const encode = preferenceEncoder(tokenizer, options);
    const made = [...rows].slice(0, SOME).map((row, i) => {
      const { fate, answers } = encode(row, i);
      return fate === "kept" ? digest(answers.map(({ row }) => cutOf(row))) : "-";
    });
    expect(made).toEqual(given.made.split(" ").slice(0, SOME));
  });
});

test("a trainer gets pairs, or answers one by one; rows that are cut before the answer are left out", () => {
  const long = "Tom put 9 pink candles in the barn. Ivan counted 3 red lamps on the stairs.";
  const rows: PreferenceExample[] = [
    { prompt: "Tom put", chosen: " 9 pink candles.", rejected: " 3." },
    { prompt: long, chosen: " a", rejected: " b" },
    { prompt: "Ivan", chosen: " counted", rejected: " hid" },
  ];
  const { items, places } = tokenizePreferences(rows, bundled, { maxLength: 16 });
  expect(places).toEqual([0, 2]);
  const prompt = bundled.encode("Ivan");
  expect(items[1]?.chosen.inputIds).toEqual([...bundled.encode("Ivan counted"), bundled.eosTokenId]);
  expect(items[1]?.rejected.labels.slice(0, prompt.length)).toEqual(prompt.map(() => IGNORE_INDEX));
  const judged = tokenizeJudged(rows.flatMap(unpaired), bundled, { maxLength: 16 });
  expect(judged.places).toEqual([0, 1, 4, 5]);
  expect(judged.items.map(({ isDesirable }) => isDesirable)).toEqual([true, false, true, false]);
  expect(judged.items[2]).toMatchObject(items[1]!.chosen);
});

test("rows of the other kind, refused chats and alien tokens are named; nothing left is told", () => {
  const pair = { prompt: "a", chosen: "b", rejected: "c" };
  const one = { prompt: "a", completion: "b", label: true };
  const give = (rows: readonly object[], more = {}) =>
    tokenizePreferences(rows as PreferenceExample[], bundled, { maxLength: 8, ...more });
  expect(() => give([pair, one, { chosen: 1 }])).toThrow(
    /2 problems:\n.*row 2 is of the other kind, wanted "chosen" and "rejected"\n.*row 3 "chosen" is 1/,
  );
  expect(() => tokenizeJudged([pair as unknown as JudgedExample], bundled, { maxLength: 8 })).toThrow(
    /row 1 is of the other kind.*\n.*unpaired\(\)/,
  );
  expect(() => give([{ ...pair, prompt: "lamp ".repeat(9) }])).toThrow("none of the 1 rows is left");
  expect(() => give([pair], { maskPrompt: false })).toThrow("maskPrompt");
  const chat = { prompt: [{ role: "user", content: "a" }], chosen: "b", rejected: "c" };
  expect(() => give([chat], { chatTemplate: "{{ raise_exception('no') }}" })).toThrow(/row 1: [\s\S]*no/);
  expect(() => tokenizePreferences([pair], bundled, { maxLength: 8 }, { embeddingRows: 3 })).toThrow(
    /row 1 holds the token/,
  );
});
