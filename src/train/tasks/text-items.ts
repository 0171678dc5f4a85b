import type { SourceItem } from "../../data/feed/item-source.ts";
import type { PlacedRow, RowStream } from "../../data/files/row-stream.ts";
import {
  type ItemLook,
  type ItemSettings,
  itemLook,
  labelsOf,
  type TaskText,
  type TextRow,
  type TextTask,
} from "../../data/inspect/item-look.ts";
import type { TaskReport } from "../../data/inspect/report.ts";
import { checkLabels } from "../../data/rows/labelled.ts";
import { type EncodedItem, keptOf } from "../../data/tokenize/task-rows.ts";
import { RowCheck } from "../../data/tokenize/vocabulary.ts";
import { requireTokenizer } from "../../load/model.ts";
import { fail } from "../../util/fail.ts";
import type { NamedRows, PreparedItems, PrepareSettings } from "./named-rows.ts";

/** What is said of rows of a task on texts, and who is told what is asked for and cannot be. */
export interface TextSettings extends ItemSettings {
  readonly note: (line: string) => void;
}

/**
 * What rows of a task on texts give, but for language modelling: an item for each row that is kept.
 * @throws LoraError naming the rows that cannot be used, or saying that none is left
 */
export function textItems<Item>(
  task: TextTask,
  model: TaskText,
  given: NamedRows<TextRow>,
  settings: TextSettings & PrepareSettings<TaskReport>,
): PreparedItems<Item, TaskReport> {
  const { path, rows, nameOf } = given;
  checkRows(task, model, given);
  const look = itemLook(task, model, settings, settings.note);
  const check = new RowCheck({ tokenizer: requireTokenizer(model), rows: model.config.vocabSize });
  const inspector = look.inspector(settings.judged);
  const items: Item[] = [];
  const places: number[] = [];
  for (const [place, row] of rows.entries()) {
    const encoded = look.encode(row, place);
    inspector.add(encoded);
    if (encoded.fate !== "kept") continue;
    check.add(nameOf(place), encoded.texts.flatMap(keptOf));
    items.push(encoded.item as Item);
    places.push(place);
  }
  const report = inspector.report(nameOf);
  requireItems(task, path, rows.length, report, items.length);
  settings.onReport?.(report);
  check.finish(path);
  return { items, places, maxLength: look.maxLength, keys: inspector.keys, report };
}

/** @throws LoraError where too few rows are left */
function requireItems(
  task: TextTask,
  path: string,
  rows: number,
  { droppedEmpty, maxLength }: TaskReport,
  items: number,
): void {
  if (droppedEmpty === rows) fail(path, "no row has a text", "give each row some words");
  if (items === 0) fail(path, `every row is longer than max_length ${maxLength}`, "cut the rows");
  if (task === "sentence-embedding" && items < 2)
    fail(path, "has one pair only", "others are needed to tell it from: give two or more");
}

/** Rows of a task on texts that are made items when they are needed. */
export interface TextItemSource<Item> {
  readonly look: ItemLook;
  /** The rows at some places as tokens. */
  read(places: readonly number[]): Promise<readonly EncodedItem[]>;
  /** What those of them give that can be used. */
  get(
    places: readonly number[],
    isUsable?: (row: EncodedItem) => boolean,
  ): Promise<readonly SourceItem<Item>[]>;
}

/** The same as {@link textItems} of rows that are read when they are needed. */
export function textItemSource<Item>(
  task: TextTask,
  model: TaskText,
  stream: RowStream<TextRow>,
  settings: TextSettings,
): TextItemSource<Item> {
  const look = itemLook(task, model, settings, settings.note);
  const read = async (places: readonly number[]) => {
    const rows = await stream.read(places);
    checkRows(task, model, { ...stream, rows: rows.map(({ row }) => row) });
    return rows.map(({ row, place }: PlacedRow<TextRow>) => look.encode(row, place));
  };
  return {
    look,
    read,
    async get(places, isUsable = () => true) {
      const used = (await read(places)).filter((row) => isUsable(row) && row.fate === "kept");
      return used.map(({ item, place }) => ({ item: item as Item, place }));
    },
  };
}

/** @throws LoraError where the rows are none of the task's, or of classes that the head has not */
function checkRows(
  task: TextTask,
  { classes }: TaskText,
  { path, rows, isPlainText }: Pick<NamedRows<TextRow>, "path" | "rows" | "isPlainText">,
): void {
  if (isPlainText) fail(path, `is plain text, which ${task} does not cut into windows`, PLAIN_TEXT_HELP);
  if (classes) checkLabels(rows.flatMap(labelsOf), classes, path);
}

const PLAIN_TEXT_HELP = 'write .jsonl, a row for each paragraph: {"text": "…"}';
