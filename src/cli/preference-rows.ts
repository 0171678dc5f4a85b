import { basename } from "node:path";
import { templateChooser } from "../data/chat/template-chooser.ts";
import type { RowStream } from "../data/files/row-stream.ts";
import type { PreferenceReport } from "../data/inspect/report.ts";
import { usesTools } from "../data/rows/examples.ts";
import type { PreferenceRow } from "../data/rows/preferences.ts";
import type { PreferenceTask } from "../data/task-names.ts";
import type { EncodedPreference } from "../data/tokenize/encode-preference.ts";
import type { RowEncoding } from "../data/tokenize/row-encoding.ts";
import { truncationFor } from "../data/tokenize/truncation.ts";
import type { ModelText } from "../load/model-text.ts";
import {
  type ItemOf,
  preferenceItemSource,
  preferenceItems,
  requirePreferences,
} from "../train/tasks/preference-items.ts";
import { fail } from "../util/fail.ts";
import type { RowFile } from "./data-files.ts";
import { refuseErrors, shortFindings } from "./findings.ts";
import { count, describeData } from "./format.ts";
import { type DataSettings, rowEncoding } from "./sequences.ts";
import { StreamFindings } from "./stream-findings.ts";
import type { Prepared, StreamedItems } from "./task.ts";

type Note = (line: string) => void;

const encodingFor = (task: PreferenceTask, model: ModelText, settings: DataSettings, note: Note) =>
  rowEncoding(model, { ...settings, truncation: truncationFor(task, settings.truncation) }, note);

/** What a file gives: an item for each row that is kept. */
export async function preparePreferences<I>(
  task: PreferenceTask,
  model: ModelText,
  file: RowFile<PreferenceRow>,
  settings: DataSettings,
  note: Note,
  itemOf: ItemOf<I>,
): Promise<Prepared<I>> {
  const { path, rows } = file;
  const encoding = await encodingFor(task, model, settings, note);
  const prepared = preferenceItems(task, encoding, file, itemOf, {
    judged: settings.judged,
    onReport: (report, equal) => describeRows(basename(path), report, encoding, equal).forEach(note),
  });
  const { items, places, maxLength, keys, report } = prepared;
  if (task === "kto" && settings.check_data !== undefined) balanceNotes(report, settings).forEach(note);
  if (settings.check_data) refuseErrors(path, report);
  shortFindings(report).forEach(note);
  requirePreferences(path, prepared);
  const { findings: _f, lengths: _l, longestRow: _r, ...counts } = report;
  const template = templateOf(rows, encoding, settings);
  return { items, places, maxLength, keys, report: { report: counts }, ...template };
}

function describeRows(
  label: string,
  report: PreferenceReport,
  { maxLength }: RowEncoding,
  equal: number,
): string[] {
  const left = equal === 1 ? "row" : "rows";
  return [
    ...describeData(label, report, maxLength),
    ...(equal > 0 ? [`  ${count(equal)} ${left} left out: the answers are equal`] : []),
  ];
}

/** The template of the chats among rows, if there are any. */
function templateOf(
  rows: readonly PreferenceRow[],
  { model, tokenizer }: RowEncoding,
  { chat_template }: DataSettings,
): { chatTemplate?: string } {
  const chats = rows.filter(({ prompt }) => typeof prompt !== "string");
  if (chats.length === 0) return {};
  const areWithTools = chats.every((chat) => "tools" in chat && usesTools(chat));
  return { chatTemplate: templateChooser(model, tokenizer, chat_template)(areWithTools).source };
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
  const encoding = await encodingFor(task, model, settings, note);
  const { maxLength } = encoding;
  const { look, read, get } = preferenceItemSource(task, encoding, stream, itemOf);
  const told = {
    inspector: () => look.inspector(settings.judged),
    describe: (label: string, report: PreferenceReport) => describeData(label, report, maxLength),
  };
  const findings = new StreamFindings<EncodedPreference, PreferenceReport>(stream, settings, told, note);
  const sample = await read(findings.samplePlaces());
  findings.lookAtSample(sample.map(({ encoded }) => encoded));
  const sampled = sample.map(({ part }) => part);
  return {
    maxLength,
    ...templateOf(sampled, encoding, settings),
    get: (places) => get(places, (row) => findings.look(row)),
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
