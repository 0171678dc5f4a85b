import type { FindingKind } from "../../data/inspect/report.ts";
import type { RowView } from "../../data/inspect/row-view.ts";
import { type Example, exampleReader } from "../../data/rows/examples.ts";
import { labelNames } from "../../data/rows/labelled.ts";
import { type PreferenceRow, preferenceReader } from "../../data/rows/preferences.ts";
import { preferenceKind } from "../../data/rows/row-kinds.ts";
import type { RowReader } from "../../data/rows/rows.ts";
import type { FileSource } from "../../io/files/files.ts";
import { openModelText, openTaskText } from "../../load/model-text.ts";
import type { Task } from "../../models/model.ts";
import { fail } from "../../util/fail.ts";
import type { RowFile } from "../data-files.ts";
import { chooseHead, modelLabels } from "../labels.ts";
import { type DataSettings, rowEncoding } from "../sequences.ts";
import { type TrainingData, tables } from "../tables-of-rows.ts";
import { readImageFolders, TABLES } from "../tasks.ts";
import {
  exampleLook,
  imageLook,
  itemLook,
  type Look,
  labelsOf,
  preferenceLook,
  type TextRow,
} from "./looks.ts";
import type { AnyReport } from "./text.ts";

/** Settings that say which rows are looked at, and what for. */
export interface RowsSettings extends TrainingData, DataSettings {
  readonly task: Task;
  readonly labels: readonly string[];
}

type Note = (line: string) => void;

/** Which rows are shown: these, by their numbers from 1, or the first ones and some with each kind of finding. */
export type Shown = readonly number[] | { readonly first: number; readonly perKind: number };

/** Rows that were read, and what looks at them. */
export interface OpenedRows {
  readonly train: RowFile<unknown>;
  /** Looks at all rows. */
  inspect(files: FileSource, note: Note, shown: Shown): Promise<{ report: AnyReport; rows: RowView[] }>;
}

/** Reads the rows of a task. */
export async function openRows(settings: RowsSettings): Promise<OpenedRows> {
  const { task } = settings;
  if (task === "causal-lm") return openTexts(settings);
  if (task === "image-classification") {
    const images = await readImageFolders(settings);
    const labels = labelNames(images.train.rows.map(({ label }) => label));
    return opened(images, async (files) => imageLook(await classesOf(files, settings, labels)));
  }
  const { train, valid }: Files<TextRow> = await TABLES[task].readTables(settings);
  const labels = task.endsWith("classification") ? labelNames(train.rows.flatMap(labelsOf)) : undefined;
  return opened({ train, valid }, async (files, note) => {
    const head = labels && (await classesOf(files, settings, labels));
    return itemLook(task, await openTaskText(files, { task, labels: head }), settings, note);
  });
}

interface Files<Row> {
  readonly train: RowFile<Row>;
  readonly valid: RowFile<Row> | undefined;
}

/** Joins rows and what looks at them, so that what a row is stays inside. */
function opened<Row, Encoded extends { readonly place: number }>(
  { train, valid }: Files<Row>,
  openLook: (files: FileSource, note: Note) => Promise<Look<Row, Encoded>>,
): OpenedRows {
  return {
    train,
    async inspect(files, note, shown) {
      const { encode, inspector: inspectorOf, view } = await openLook(files, note);
      const judged = inspectorOf();
      for (const [place, row] of valid?.rows.entries() ?? []) judged.add(await encode(row, place));
      const inspector = inspectorOf(judged.keys);
      const isShown = chooser(shown);
      const rows: RowView[] = [];
      for (const [place, row] of train.rows.entries()) {
        const encoded = await encode(row, place);
        const kinds = inspector.add(encoded);
        if (isShown(place, kinds)) rows.push(view(encoded, train.nameOf(place), kinds));
      }
      return { report: inspector.report(train.nameOf), rows };
    },
  };
}

function chooser(shown: Shown): (place: number, kinds: readonly FindingKind[]) => boolean {
  if ("includes" in shown) return (place) => shown.includes(place + 1);
  const seen = new Map<FindingKind, number>();
  return (place, kinds) => {
    const wanted = kinds.filter((kind) => (seen.get(kind) ?? 0) < shown.perKind);
    const isShown = place < shown.first || wanted.length > 0;
    if (isShown) for (const kind of kinds) seen.set(kind, (seen.get(kind) ?? 0) + 1);
    return isShown;
  };
}

/** The classes that the head will have. */
async function classesOf(
  files: FileSource,
  { task, labels: given }: RowsSettings,
  data: readonly string[],
): Promise<readonly string[]> {
  const head = await chooseHead({ task, given, adapters: [], data, seed: 0 })(files);
  return head.labels ?? (await modelLabels(files, task)) ?? data;
}

/** Rows of language modelling, or such as say which answers are better. */
async function openTexts(settings: RowsSettings): Promise<OpenedRows> {
  const { train, valid } = await tables({ reader: textReader }).readTables(settings);
  const encodingOf = async (files: FileSource, note: Note) =>
    rowEncoding(await openModelText(files), settings, note);
  const all = [...train.rows, ...(valid?.rows ?? [])];
  if (all.every(isPreference)) {
    const files = { train, valid } as Files<PreferenceRow>;
    return opened(files, async (source, note) => preferenceLook(await encodingOf(source, note)));
  }
  if (all.some(isPreference)) {
    const what = `${train.path} has rows that say which answers are better, and others`;
    fail("data", what, "put them into files of their own: nothing learns from both");
  }
  const files = { train, valid } as Files<Example>;
  return opened(files, async (source, note) => exampleLook(await encodingOf(source, note)));
}

const isPreference = (row: Example | PreferenceRow): row is PreferenceRow =>
  "chosen" in row || "label" in row;

function textReader(): RowReader<Example | PreferenceRow> {
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
