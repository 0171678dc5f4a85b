import { isRowStream } from "../../data/files/is-row-stream.ts";
import { rowsOf } from "../../data/files/row-stream.ts";
import { type InspectedRows, inspectRows, type Shown } from "../../data/inspect/inspect-rows.ts";
import { itemLook, labelsOf, type TextRow } from "../../data/inspect/item-look.ts";
import type { Look } from "../../data/inspect/looks.ts";
import { type TextRowOfAnyKind, textLook } from "../../data/inspect/text-look.ts";
import { exampleReader } from "../../data/rows/examples.ts";
import { labelNames } from "../../data/rows/labelled.ts";
import { preferenceReader } from "../../data/rows/preferences.ts";
import { preferenceKind } from "../../data/rows/row-kinds.ts";
import type { RowReader } from "../../data/rows/rows.ts";
import { headTask, isPreferenceTask, type TrainingTask } from "../../data/task-names.ts";
import type { FileSource } from "../../io/files/files.ts";
import { openModelText, openTaskText } from "../../load/model-text.ts";
import { count } from "../format.ts";
import { chooseHead, modelLabels } from "../labels.ts";
import { type DataSettings, rowEncoding } from "../sequences.ts";
import { type Parts, type Rows, type TrainingData, tables } from "../tables-of-rows.ts";
import { readImageFolders, TABLES } from "../tasks.ts";
import { imageLook } from "./image-look.ts";

/** Settings that say which rows are looked at, and what for. */
export interface RowsSettings extends TrainingData, DataSettings {
  readonly task: TrainingTask;
  readonly labels: readonly string[];
}

type Note = (line: string) => void;

/** Rows that were read, and what looks at them. */
export interface OpenedRows {
  /** What messages call the files. */
  readonly path: string;
  /** How many rows there are. */
  readonly count: number;
  /** Looks at all rows. */
  inspect(files: FileSource, note: Note, shown: Shown): Promise<InspectedRows>;
  /** What is to be told of the rows that were read. */
  notes(): readonly string[];
}

/** Reads the rows of a task, or finds where they are. */
export async function openRows(settings: RowsSettings): Promise<OpenedRows> {
  const { task } = settings;
  if (task === "causal-lm" || isPreferenceTask(task)) return openTexts(settings);
  if (task === "image-classification") {
    const images = await readImageFolders(settings);
    const labels = labelNames(images.train.rows.map(({ label }) => label));
    return opened(images, async (files) => imageLook(await classesOf(files, settings, labels)));
  }
  const rows: Parts<Rows<TextRow>> = await TABLES[task].readTraining(settings);
  const labels = task.endsWith("classification") ? labelsOfAll(rows.train) : undefined;
  return opened(rows, async (files, note) => {
    const head = labels && (await classesOf(files, settings, labels));
    const { max_length: maxLength, truncation } = settings;
    return itemLook(task, await openTaskText(files, { task, labels: head }), { maxLength, truncation }, note);
  });
}

const labelsOfAll = (rows: Rows<TextRow>) =>
  isRowStream<TextRow>(rows) ? (rows.labels ?? []) : labelNames(rows.rows.flatMap(labelsOf));

/** Joins rows and what looks at them, so that what a row is stays inside. */
function opened<Row, Encoded extends { readonly place: number }>(
  { train, valid }: Parts<Rows<Row>>,
  openLook: (files: FileSource, note: Note) => Promise<Look<Row, Encoded>>,
): OpenedRows {
  return {
    path: train.path,
    count: isRowStream<Row>(train) ? rowsOf(train) : train.rows.length,
    notes: () => (isRowStream<Row>(train) ? train.notes() : (train.notes ?? [])),
    async inspect(files, note, shown) {
      const look = await openLook(files, note);
      return inspectRows(
        train,
        valid,
        isRowStream<Row>(train) ? withProgress(look, rowsOf(train), note) : look,
        shown,
      );
    },
  };
}

/** Rows after which it is told how far it is. */
const TOLD_AFTER = 2 ** 16;

/** Tells now and then how many rows have been looked at. */
function withProgress<Row, Encoded extends { readonly place: number }>(
  look: Look<Row, Encoded>,
  rows: number,
  note: Note,
): Look<Row, Encoded> {
  return {
    ...look,
    encode(row, place) {
      if (place > 0 && place % TOLD_AFTER === 0) note(`looked at ${count(place)} of ${count(rows)} rows`);
      return look.encode(row, place);
    },
  };
}

/** The classes that the head will have. */
async function classesOf(
  files: FileSource,
  { task, labels: given }: RowsSettings,
  data: readonly string[],
): Promise<readonly string[]> {
  const head = await chooseHead({ task, given, adapters: [], data, seed: 0 })(files);
  return head.labels ?? (await modelLabels(files, headTask(task))) ?? data;
}

/** Rows of language modelling, or such as say which answers are better. */
async function openTexts(settings: RowsSettings): Promise<OpenedRows> {
  const files = await tables({ reader: textReader }).readTraining(settings);
  return opened(files, async (source, note) => {
    const encoding = await rowEncoding(await openModelText(source), settings, note);
    return textLook(files.train, files.train.path, encoding);
  });
}

function textReader(): RowReader<TextRowOfAnyKind> {
  const [examples, preferences] = [exampleReader(), preferenceReader()];
  return {
    wanted: examples.wanted,
    read: (values) => (preferenceKind(values) === undefined ? examples : preferences).read(values),
    notes: () => {
      const notes = [examples, preferences].flatMap((reader) => reader.notes?.() ?? []);
      return notes.filter((line) => !line.endsWith("rows of "));
    },
  };
}
