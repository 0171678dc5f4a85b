import type { SourceItem } from "../../data/feed/item-source.ts";
import type { PlacedRow, RowStream } from "../../data/files/row-stream.ts";
import { PreferenceInspector } from "../../data/inspect/preference-inspector.ts";
import type { PreferenceReport } from "../../data/inspect/report.ts";
import { keysOf } from "../../data/rows/fields.ts";
import { isPaired, type PreferenceRow, preferenceReader, unpaired } from "../../data/rows/preferences.ts";
import type { RowReader } from "../../data/rows/rows.ts";
import type { PreferenceTask } from "../../data/task-names.ts";
import {
  type EncodedAnswer,
  type EncodedPreference,
  preferenceEncoder,
} from "../../data/tokenize/encode-preference.ts";
import type { RowEncoding } from "../../data/tokenize/row-encoding.ts";
import { RowCheck } from "../../data/tokenize/vocabulary.ts";
import { fail, failAll, LoraError, Problems } from "../../util/fail.ts";
import type { ScoredAnswer } from "../preferences/kto.ts";
import type { ScoredPair } from "../preferences/pairs.ts";
import type { RewardPair } from "../preferences/reward.ts";
import type { NamedRows, PreparedItems, PrepareSettings } from "./named-rows.ts";

/** Makes what a task learns from of a row whose answers are tokens. */
export type ItemOf<Item> = (answers: EncodedPreference["answers"], row: PreferenceRow) => Item;

/** Reads rows for a task: of two answers each, or such as were judged one by one. */
export function preferenceRows(task: PreferenceTask): RowReader<PreferenceRow> {
  const reader = preferenceReader();
  if (task === "kto") return reader;
  return {
    ...reader,
    wanted: PAIR_WANTED,
    read(values) {
      const keys = Object.keys(values);
      if (["chosen", "rejected", "label"].every((key) => !keys.includes(key))) {
        return `has ${keysOf(keys) || "no keys"}, wanted ${PAIR_WANTED}; --task causal-lm learns from texts, completions and chats`;
      }
      const row = reader.read(values);
      if (typeof row === "string" || isPaired(row)) return row;
      return `has one answer with a label, and ${task} compares two, "chosen" and "rejected"; --task kto learns from such rows`;
    },
  };
}

const PAIR_WANTED = '"prompt", "chosen" and "rejected"';

/** How rows of a task are read by a model. */
export interface PreferenceLook {
  encode(row: PreferenceRow, place: number): EncodedPreference;
  inspector(judged?: ReadonlySet<number>): PreferenceInspector;
  /** The rows that are learnt from one by one: of pairs their answers, where these are judged one by one. */
  partsOf(row: PreferenceRow): readonly PreferenceRow[];
}

/** How a task reads its rows. */
export function taskPreferenceLook(
  task: PreferenceTask,
  { tokenizer, options, model }: RowEncoding,
): PreferenceLook {
  const { embeddingRows } = model;
  const inspected = { tokenizer, maxLength: options.maxLength, embeddingRows };
  return {
    encode: preferenceEncoder(tokenizer, options, model),
    inspector: (judged) => new PreferenceInspector({ ...inspected, ...(judged && { judged }) }),
    partsOf: (row) => (task === "kto" ? unpaired(row) : [row]),
  };
}

/** What preferences came to. */
export interface PreparedPreferences<Item> extends PreparedItems<Item, PreferenceReport> {
  /** Rows that are left out since both answers are the same to the model. */
  readonly equal: number;
}

/** How preferences are made items. */
export interface PreferenceSettings extends Pick<PrepareSettings<PreferenceReport>, "judged"> {
  /** Told what became of all rows, and how many have equal answers; before tokens are refused that the model lacks. */
  readonly onReport?: (report: PreferenceReport, equal: number) => void;
}

/**
 * An item for each row of a file that is kept; there may be none, see {@link requirePreferences}.
 * @throws LoraError naming the rows that cannot be used
 */
export function preferenceItems<Item>(
  task: PreferenceTask,
  encoding: RowEncoding,
  given: NamedRows<PreferenceRow>,
  itemOf: ItemOf<Item>,
  { judged, onReport }: PreferenceSettings = {},
): PreparedPreferences<Item> {
  const { path, rows, nameOf, isPlainText } = given;
  if (isPlainText) fail(path, "is plain text, which prefers nothing", "write .jsonl: one object a row");
  const { encode, inspector: open, partsOf } = taskPreferenceLook(task, encoding);
  const inspector = open(judged);
  const check = new RowCheck({ tokenizer: encoding.tokenizer, rows: encoding.model.embeddingRows });
  const refused = new Problems();
  const [items, places]: [Item[], number[]] = [[], []];
  let equal = 0;
  for (const [place, row] of rows.entries()) {
    for (const part of partsOf(row)) {
      const encoded = encode(part, place);
      inspector.add(encoded);
      const { fate, problem, answers } = encoded;
      if (problem) refused.push(new LoraError(problem.kind, nameOf(place), problem));
      if (fate !== "kept") continue;
      const ids = answers.flatMap(({ row }) => row.inputIds);
      check.add(nameOf(place), ids);
      if (haveEqual(answers)) {
        equal++;
        continue;
      }
      items.push(itemOf(answers, part));
      places.push(place);
    }
  }
  failAll(path, refused);
  const report = inspector.report(nameOf);
  onReport?.(report, equal);
  check.finish(path);
  return { items, places, maxLength: encoding.maxLength, keys: inspector.keys, report, equal };
}

/** @throws LoraError where no row is left */
export function requirePreferences(path: string, { items }: Pick<PreparedItems<unknown>, "items">): void {
  if (items.length > 0) return;
  const help = "inspect shows why: raise max_length, or give answers that differ";
  fail(path, "no row is left to learn from", help);
}

/** A part of a row, and its answers as tokens. */
export interface ReadPreference {
  readonly part: PreferenceRow;
  readonly encoded: EncodedPreference;
}

/** Preferences that are made items when they are needed. */
export interface PreferenceItemSource<Item> {
  readonly look: PreferenceLook;
  /** The rows at some places as tokens. */
  read(places: readonly number[]): Promise<readonly ReadPreference[]>;
  /** What those of them give that can be used. */
  get(
    places: readonly number[],
    isUsable?: (row: EncodedPreference) => boolean,
  ): Promise<readonly SourceItem<Item>[]>;
}

/** The same as {@link preferenceItems} of rows that are read when they are needed. */
export function preferenceItemSource<Item>(
  task: PreferenceTask,
  encoding: RowEncoding,
  stream: RowStream<PreferenceRow>,
  itemOf: ItemOf<Item>,
): PreferenceItemSource<Item> {
  const look = taskPreferenceLook(task, encoding);
  const partsOf = ({ row, place }: PlacedRow<PreferenceRow>) =>
    look.partsOf(row).map((part) => ({ part, encoded: look.encode(part, place) }));
  const read = async (places: readonly number[]) => (await stream.read(places)).flatMap(partsOf);
  return {
    look,
    read,
    async get(places, isUsable = () => true) {
      const used = (await read(places)).filter(({ encoded }) => {
        if (encoded.problem) stream.refuse(encoded.place, encoded.problem.message);
        return (
          !encoded.problem && isUsable(encoded) && encoded.fate === "kept" && !haveEqual(encoded.answers)
        );
      });
      return used.map(({ part, encoded }) => ({ item: itemOf(encoded.answers, part), place: encoded.place }));
    },
  };
}

/** Whether both answers of a pair are the same to the model, so that nothing can be preferred. */
function haveEqual([first, second]: EncodedPreference["answers"]): boolean {
  if (!first || !second || first.row.inputIds.length !== second.row.inputIds.length) return false;
  return first.row.inputIds.every((id, i) => id === second.row.inputIds[i]);
}

const sequenceOf = ({ row: { inputIds, labels } }: EncodedAnswer) => ({ inputIds, labels });

/** A pair for DPO and its like. */
export const pairOf: ItemOf<ScoredPair> = (answers) => {
  const [chosen, rejected] = answers as [EncodedAnswer, EncodedAnswer];
  return { chosen: sequenceOf(chosen), rejected: sequenceOf(rejected) };
};

/** An answer for KTO. */
export const judgedOf: ItemOf<ScoredAnswer> = (answers) => {
  const [answer] = answers as [EncodedAnswer];
  return { ...sequenceOf(answer), isDesirable: answer.name === "desirable" };
};

/** A pair for a reward model. */
export const rewardPairOf: ItemOf<RewardPair> = (answers, row) => {
  const margin = isPaired(row) ? row.margin : undefined;
  return { ...pairOf(answers, row), ...(margin !== undefined && { margin }) };
};
