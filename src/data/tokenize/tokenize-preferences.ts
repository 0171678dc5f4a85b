import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { fail, failAll, LoraError, Problems } from "../../util/fail.ts";
import type { JsonObject } from "../../util/json.ts";
import { isObject } from "../../util/json.ts";
import { checkOptions, describe } from "../../util/options.ts";
import * as chats from "../chat/chats.ts";
import {
  isPaired,
  type JudgedExample,
  type PreferenceExample,
  type PreferenceRow,
  readPreference,
} from "../rows/preferences.ts";
import type { Sequence } from "../sequence.ts";
import { type EncodedPreference, type PreferenceOptions, preferenceEncoder } from "./encode-preference.ts";
import { TOKENIZE_RULES, type TokenizeFor } from "./tokenize-options.ts";
import { RowCheck } from "./vocabulary.ts";

/** Two answers behind one prompt, whose labels are those of the answer. */
export interface PreferencePair {
  /** The better one. */
  readonly chosen: Sequence;
  /** The other one. */
  readonly rejected: Sequence;
}

/** An answer behind its prompt, whose labels are those of the answer. */
export interface JudgedSequence extends Sequence {
  /** Whether such an answer is wanted. */
  readonly isDesirable: boolean;
}

/** Preferences as a model reads them. */
export interface TokenizedPreferences<Item> {
  /** Of the rows that can be learnt from. */
  readonly items: Item[];
  /** The place of each one's row, from 0: rows of which nothing is learnt are left out. */
  readonly places: number[];
}

const { maskPrompt: _1, assistantOnlyLoss: _2, maskHistory: _3, ...RULES } = TOKENIZE_RULES;

/**
 * Tokenises pairs of answers for DPO, ORPO, CPO or a reward model: prompt and answer together, EOS behind texts, each
 * sequence cut by itself. Pairs of which an answer is too long, or cut before it begins, are left out.
 * @param model what it is for; without it any token is fine, and chats need a template
 * @param onRow told what becomes of each row, also of those that are left out
 * @throws LoraError if nothing remains, or naming the rows that are no pairs, hold a token which the embedding lacks, or that
 * the template refuses
 */
export function tokenizePreferences(
  rows: readonly PreferenceExample[],
  tokenizer: Tokenizer,
  options: PreferenceOptions,
  model: TokenizeFor = {},
  onRow: (row: EncodedPreference) => void = () => {},
): TokenizedPreferences<PreferencePair> {
  return tokenize("tokenizePreferences", rows, { tokenizer, options, model, onRow }, ({ answers }) => {
    const [chosen, rejected] = answers.map(({ row }) => sequenceOf(row));
    return { chosen, rejected } as PreferencePair;
  });
}

/**
 * The same of answers that were judged one by one, for KTO; pairs are two of them.
 * @throws LoraError as {@link tokenizePreferences} does
 */
export function tokenizeJudged(
  rows: readonly JudgedExample[],
  tokenizer: Tokenizer,
  options: PreferenceOptions,
  model: TokenizeFor = {},
  onRow: (row: EncodedPreference) => void = () => {},
): TokenizedPreferences<JudgedSequence> {
  return tokenize("tokenizeJudged", rows, { tokenizer, options, model, onRow }, ({ answers }) => {
    const [{ name, row }] = answers as [EncodedPreference["answers"][0]];
    return { ...sequenceOf(row), isDesirable: name === "desirable" };
  });
}

const sequenceOf = ({ inputIds, labels }: Sequence): Sequence => ({ inputIds, labels });

interface Encoding {
  readonly tokenizer: Tokenizer;
  readonly options: PreferenceOptions;
  readonly model: TokenizeFor;
  readonly onRow: (row: EncodedPreference) => void;
}

function tokenize<Item>(
  where: "tokenizePreferences" | "tokenizeJudged",
  rows: readonly PreferenceRow[],
  { tokenizer, options, model, onRow }: Encoding,
  itemOf: (row: EncodedPreference) => Item,
): TokenizedPreferences<Item> {
  checkOptions(where, options, RULES);
  const checked = checkRows(where, rows);
  const encode = preferenceEncoder(tokenizer, options, model, () => chats);
  const check = new RowCheck({ tokenizer, rows: model.embeddingRows ?? Number.POSITIVE_INFINITY });
  const refused = new Problems();
  const [items, places]: [Item[], number[]] = [[], []];
  for (const [place, row] of checked.entries()) {
    const encoded = encode(row, place);
    onRow(encoded);
    const { fate, problem, answers } = encoded;
    if (problem) refused.push(new LoraError(problem.kind, `row ${place + 1}`, problem));
    if (fate !== "kept") continue;
    check.add(
      `row ${place + 1}`,
      answers.flatMap(({ row: { inputIds } }) => inputIds),
    );
    items.push(itemOf(encoded));
    places.push(place);
  }
  failAll(where, refused);
  check.finish(where);
  if (items.length === 0) {
    fail(
      where,
      `none of the ${rows.length} rows is left: each is too long`,
      "raise maxLength, or look at the rows",
    );
  }
  return { items, places };
}

/** Rows as a caller gave them, by the rules for rows of a file. */
function checkRows(
  where: "tokenizePreferences" | "tokenizeJudged",
  rows: readonly PreferenceRow[],
): PreferenceRow[] {
  const wanted = where === "tokenizePreferences" ? '"chosen" and "rejected"' : '"completion" and "label"';
  if (!Array.isArray(rows) || rows.length === 0) fail(where, "there are no rows", `give rows with ${wanted}`);
  const problems = new Problems();
  const read = rows.flatMap((row: unknown, i) => {
    const found = isObject(row) ? readPreference(row as JsonObject) : `is ${describe(row)}, wanted an object`;
    if (typeof found === "object" && isPaired(found) === (where === "tokenizePreferences")) return [found];
    problems.push(
      `row ${i + 1} ${typeof found === "string" ? found : `is of the other kind, wanted ${wanted}`}`,
    );
    return [];
  });
  failAll(where, problems, "unpaired() makes judged answers of pairs");
  return read;
}
