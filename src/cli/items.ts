import { basename } from "node:path";
import type { SourceItem } from "../data/feed/item-source.ts";
import type { PlacedRow, RowStream } from "../data/files/row-stream.ts";
import { itemLook, labelsOf, type TaskText, type TextRow, type TextTask } from "../data/inspect/item-look.ts";
import type { Finding } from "../data/inspect/report.ts";
import { checkLabels } from "../data/rows/labelled.ts";
import { keptOf } from "../data/tokenize/task-rows.ts";
import { RowCheck } from "../data/tokenize/vocabulary.ts";
import { requireTokenizer } from "../load/model.ts";
import { fail } from "../util/fail.ts";
import type { RowFile } from "./data-files.ts";
import { refuseErrors, shortFindings } from "./findings.ts";
import { describeItems } from "./format.ts";
import type { DataSettings } from "./sequences.ts";
import { StreamFindings } from "./stream-findings.ts";
import type { Prepared, StreamedItems } from "./task.ts";

type Note = (line: string) => void;

/** A model that makes tokens of rows. */
type TextModel = Pick<TaskText, "name" | "tokenizer" | "config"> & { readonly labels?: readonly string[] };

/** What a file of a task on texts gives, but for language modelling: an item for each row that is kept. */
export function prepareItems<I>(
  task: TextTask,
  model: TextModel,
  file: RowFile<TextRow>,
  settings: DataSettings,
  note: Note,
): Prepared<I> {
  const { path, rows, nameOf } = file;
  checkRows(task, model, file);
  const look = itemLook(task, textOf(model), settings, note);
  const check = new RowCheck({ tokenizer: requireTokenizer(model), rows: model.config.vocabSize });
  const inspector = look.inspector(settings.judged);
  const items: I[] = [];
  const places: number[] = [];
  for (const [place, row] of rows.entries()) {
    const encoded = look.encode(row, place);
    inspector.add(encoded);
    if (encoded.fate !== "kept") continue;
    check.add(nameOf(place), encoded.texts.flatMap(keptOf));
    items.push(encoded.item as I);
    places.push(place);
  }
  const report = inspector.report(nameOf);
  if (report.droppedEmpty === rows.length) fail(path, "no row has a text", "give each row some words");
  if (items.length === 0) fail(path, `every row is longer than max_length ${look.maxLength}`, "cut the rows");
  if (task === "sentence-embedding" && items.length < 2)
    fail(path, "has one pair only", "others are needed to tell it from: give two or more");
  for (const line of describeItems(basename(path), report, look.maxLength)) note(line);
  check.finish(path);
  const isLearnt = settings.check_data !== undefined;
  const findings = report.findings.filter((finding) => isLearnt || !isOfClasses(finding));
  if (settings.check_data) refuseErrors(path, { findings });
  shortFindings({ findings }).forEach(note);
  return { items, places, maxLength: look.maxLength, keys: inspector.keys };
}

/** The same of rows that are read when they are needed. */
export async function streamItems<I>(
  task: TextTask,
  model: TextModel,
  stream: RowStream<TextRow>,
  settings: DataSettings,
  note: Note,
): Promise<StreamedItems<I>> {
  const look = itemLook(task, textOf(model), settings, note);
  const { maxLength } = look;
  const findings = new StreamFindings(
    stream,
    settings,
    {
      inspector: () => look.inspector(settings.judged),
      describe: (label, report) => describeItems(label, report, maxLength),
    },
    note,
  );
  const read = async (places: readonly number[]) => {
    const rows = await stream.read(places);
    checkRows(task, model, { ...stream, rows: rows.map(({ row }) => row) });
    return rows.map(({ row, place }: PlacedRow<TextRow>) => look.encode(row, place));
  };
  findings.lookAtSample(await read(findings.samplePlaces()));
  return {
    maxLength,
    async get(places) {
      const encoded = await read(places);
      const used = encoded.filter((row) => findings.look(row) && row.fate === "kept");
      return used.map(({ item, place }): SourceItem<I> => ({ item: item as I, place }));
    },
    end: () => findings.end(),
  };
}

/** @throws LoraError where the rows are none of the task's, or of classes that the head has not */
function checkRows(
  task: TextTask,
  model: TextModel,
  { path, rows, isPlainText }: Pick<RowFile<TextRow>, "path" | "rows" | "isPlainText">,
): void {
  if (isPlainText) fail(path, `is plain text, which ${task} does not cut into windows`, PLAIN_TEXT_HELP);
  const { classes } = textOf(model);
  if (classes) checkLabels(rows.flatMap(labelsOf), classes, path);
}

const PLAIN_TEXT_HELP = 'write .jsonl, a row for each paragraph: {"text": "…"}';

/** What a model that is loaded makes tokens with. */
function textOf(model: TextModel): TaskText {
  const { name, tokenizer, config, labels } = model;
  return { name, tokenizer, config, ...(labels && { classes: labels }) };
}

/** Of rows that a model is judged by none teaches a class. */
function isOfClasses({ kind }: Finding): boolean {
  return kind.endsWith("-label");
}
