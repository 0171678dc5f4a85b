import { basename } from "node:path";
import { templateChooser } from "../data/chat/chat-template.ts";
import type { SourceItem } from "../data/feed/item-source.ts";
import type { RowStream } from "../data/files/row-stream.ts";
import { PreferenceInspector } from "../data/inspect/preference-inspector.ts";
import type { PreferenceReport } from "../data/inspect/report.ts";
import { usesTools } from "../data/rows/examples.ts";
import { keysOf } from "../data/rows/fields.ts";
import { isPaired, type PreferenceRow, preferenceReader, unpaired } from "../data/rows/preferences.ts";
import type { RowReader } from "../data/rows/rows.ts";
import { type EncodedPreference, preferenceEncoder } from "../data/tokenize/encode-preference.ts";
import { RowCheck } from "../data/tokenize/vocabulary.ts";
import type { ModelText } from "../load/model-text.ts";
import { fail, failAll, LoraError, Problems } from "../util/fail.ts";
import type { RowFile } from "./data-files.ts";
import { refuseErrors, shortFindings } from "./findings.ts";
import { count, describeData } from "./format.ts";
import { type DataSettings, rowEncoding } from "./sequences.ts";
import { StreamFindings } from "./stream-findings.ts";
import type { Prepared, StreamedItems } from "./task.ts";
import type { PreferenceTask } from "./task-names.ts";

type Note = (line: string) => void;

/** Makes what a task learns from of a row whose answers are tokens. */
export type ItemOf<I> = (answers: EncodedPreference["answers"], row: PreferenceRow) => I;

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

/** Encodes the rows of a task for a model. */
async function openEncoder(task: PreferenceTask, model: ModelText, settings: DataSettings, note: Note) {
  // As in TRL, answers for a reward model are left out where they are too long: of a part there is no reward.
  const truncation = task === "reward" ? "drop" : settings.truncation;
  const encoding = await rowEncoding(model, { ...settings, truncation }, note);
  const { tokenizer, options, maxLength } = encoding;
  const { embeddingRows } = encoding.model;
  const inspected = { tokenizer, maxLength: options.maxLength, embeddingRows };
  return {
    ...{ tokenizer, maxLength, embeddingRows },
    encode: preferenceEncoder(tokenizer, options, encoding.model),
    inspector: () =>
      new PreferenceInspector({ ...inspected, ...(settings.judged && { judged: settings.judged }) }),
    partsOf: (row: PreferenceRow) => (task === "kto" ? unpaired(row) : [row]),
    /** The template of the chats among rows, if there are any. */
    templateOf(rows: readonly PreferenceRow[]): { chatTemplate?: string } {
      const chats = rows.filter(({ prompt }) => typeof prompt !== "string");
      if (chats.length === 0) return {};
      const templateFor = templateChooser(encoding.model, tokenizer, settings.chat_template);
      const areWithTools = chats.every((chat) => "tools" in chat && usesTools(chat));
      return { chatTemplate: templateFor(areWithTools).source };
    },
  };
}

/** What a file gives: an item for each row that is kept. */
export async function preparePreferences<I>(
  task: PreferenceTask,
  model: ModelText,
  file: RowFile<PreferenceRow>,
  settings: DataSettings,
  note: Note,
  itemOf: ItemOf<I>,
): Promise<Prepared<I>> {
  const { path, rows, nameOf } = file;
  if (file.isPlainText) fail(path, "is plain text, which prefers nothing", "write .jsonl: one object a row");
  const {
    encode,
    inspector: open,
    partsOf,
    templateOf,
    ...encoder
  } = await openEncoder(task, model, settings, note);
  const inspector = open();
  const check = new RowCheck({ tokenizer: encoder.tokenizer, rows: encoder.embeddingRows });
  const refused = new Problems();
  const [items, places]: [I[], number[]] = [[], []];
  let equal = 0;
  for (const [place, row] of rows.entries()) {
    for (const part of partsOf(row)) {
      const encoded = encode(part, place);
      inspector.add(encoded);
      const { fate, problem, answers } = encoded;
      if (problem) refused.push(new LoraError(problem.kind, nameOf(place), problem));
      if (fate !== "kept") continue;
      check.add(
        nameOf(place),
        answers.flatMap(({ row }) => row.inputIds),
      );
      if (haveEqual(answers)) {
        equal++;
        continue;
      }
      items.push(itemOf(answers, part));
      places.push(place);
    }
  }
  failAll(path, refused);
  const { maxLength } = encoder;
  const report = inspector.report(nameOf);
  for (const line of describeData(basename(path), report, maxLength)) note(line);
  if (equal > 0) note(`  ${count(equal)} ${equal === 1 ? "row" : "rows"} left out: the answers are equal`);
  check.finish(path);
  if (task === "kto" && settings.check_data !== undefined) balanceNotes(report, settings).forEach(note);
  if (settings.check_data) refuseErrors(path, report);
  shortFindings(report).forEach(note);
  if (items.length === 0) {
    fail(
      path,
      "no row is left to learn from",
      "inspect shows why: raise max_length, or give answers that differ",
    );
  }
  const { findings: _f, lengths: _l, longestRow: _r, ...counts } = report;
  return { items, places, maxLength, keys: inspector.keys, report: { report: counts }, ...templateOf(rows) };
}

/** The same of rows that are read when they are needed. */
export async function streamPreferences<I>(
  task: PreferenceTask,
  model: ModelText,
  stream: RowStream<PreferenceRow>,
  settings: DataSettings,
  note: Note,
  itemOf: ItemOf<I>,
): Promise<StreamedItems<I>> {
  if (settings.precompute_ref_log_probs) {
    const got = `the rows of ${stream.path} are read when they are needed, and their scores would be in memory`;
    fail("precompute_ref_log_probs", got, "leave it out, or give --no-streaming");
  }
  const { encode, inspector, partsOf, templateOf, maxLength } = await openEncoder(
    task,
    model,
    settings,
    note,
  );
  const look = {
    inspector,
    describe: (label: string, report: PreferenceReport) => describeData(label, report, maxLength),
  };
  const findings = new StreamFindings<EncodedPreference, PreferenceReport>(stream, settings, look, note);
  const read = async (places: readonly number[]) => {
    const rows = await stream.read(places);
    return rows.flatMap(({ row, place }) =>
      partsOf(row).map((part) => ({ part, encoded: encode(part, place) })),
    );
  };
  const sample = await read(findings.samplePlaces());
  findings.lookAtSample(sample.map(({ encoded }) => encoded));
  return {
    maxLength,
    ...templateOf(sample.map(({ part }) => part)),
    async get(places) {
      const used = (await read(places)).filter(({ encoded }) => {
        if (encoded.problem) stream.refuse(encoded.place, encoded.problem.message);
        return (
          !encoded.problem && findings.look(encoded) && encoded.fate === "kept" && !haveEqual(encoded.answers)
        );
      });
      return used.map(({ part, encoded }): SourceItem<I> => {
        return { item: itemOf(encoded.answers, part), place: encoded.place };
      });
    },
    end: () => findings.end(),
  };
}

/** Where answers of one kind are many more than those of the other, KTO's paper wants weights that make up for it (its eq. 8). */
function balanceNotes({ answers }: PreferenceReport, settings: DataSettings): string[] {
  const counted = (kind: string) => answers.find(({ name }) => name === kind)?.count ?? 0;
  const [desirable, undesirable] = [counted("desirable"), counted("undesirable")];
  const { desirable_weight: d = 1, undesirable_weight: u = 1 } = settings;
  if (desirable === 0 || undesirable === 0) {
    return [
      `warning: all answers are ${desirable > 0 ? "desirable" : "undesirable"}: nothing is learnt of the others`,
    ];
  }
  const ratio = (d * desirable) / (u * undesirable);
  if (ratio >= 1 && ratio <= 4 / 3) return [];
  const least = (undesirable * u) / desirable;
  const range = `${least.toFixed(2)} to ${((least * 4) / 3).toFixed(2)}`;
  return [
    `  ${count(desirable)} desirable answers and ${count(undesirable)} others: KTO's paper advises --desirable-weight ${range}`,
  ];
}

/** Whether both answers of a pair are the same to the model, so that nothing can be preferred. */
function haveEqual([first, second]: EncodedPreference["answers"]): boolean {
  if (!first || !second || first.row.inputIds.length !== second.row.inputIds.length) return false;
  return first.row.inputIds.every((id, i) => id === second.row.inputIds[i]);
}
