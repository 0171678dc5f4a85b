import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { firstRows } from "../data/feed/item-source.ts";
import type { RowStream } from "../data/files/row-stream.ts";
import type { TextRow, TextTask } from "../data/inspect/item-look.ts";
import { exampleReader } from "../data/rows/examples.ts";
import {
  labelledTextReader,
  labelNames,
  PAIRED_TEXTS_READER,
  TAGGED_WORDS_READER,
  TEXT_READER,
} from "../data/rows/labelled.ts";
import type { TrainingTask } from "../data/task-names.ts";
import type { LoadedModel } from "../load/model.ts";
import type { Task } from "../models/model.ts";
import { decodeNodeImage } from "../platform/node-images.ts";
import { exactMatch, writeSamples } from "../train/completions.ts";
import type { EvaluationOptions } from "../train/evaluate.ts";
import { CAUSAL_LM } from "../train/tasks/causal-lm.ts";
import { IMAGE_CLASSIFICATION, imageItems } from "../train/tasks/image-task.ts";
import type { Items, TaskItem, TaskKind, TaskModel } from "../train/tasks/task-kind.ts";
import type { TaskEvaluation as TaskFigures, TaskOptions } from "../train/tasks/tasks.ts";
import {
  MASKED_LM,
  SENTENCE_EMBEDDING,
  SEQUENCE_CLASSIFICATION,
  TOKEN_CLASSIFICATION,
} from "../train/tasks/text-tasks.ts";
import { fail } from "../util/fail.ts";
import { type RowFile, readBoth } from "./data-files.ts";
import { count, formatTestLine } from "./format.ts";
import { describeClassifier, describeLoss, describeTagger } from "./format-metrics.ts";
import { findImageFolders, findTestImages, type ImageFile, listImages } from "./image-folders.ts";
import { prepareItems, streamItems } from "./items.ts";
import { mapLosses } from "./loss-map.ts";
import { PREFERENCE_COMMANDS } from "./preference-tasks.ts";
import { type DataSettings, sequenceReader } from "./sequences.ts";
import { streamSequences } from "./streamed-sequences.ts";
import { type TrainingData, tables } from "./tables-of-rows.ts";
import { type TaskCommand, type TaskEvaluation, taskCommand } from "./task.ts";

/** How rows of each task on texts are read. */
export const TABLES = {
  "causal-lm": tables({ reader: exampleReader }),
  "sequence-classification": tables({
    reader: labelledTextReader,
    labels: (rows) => labelNames(rows.map(({ label }) => label)),
  }),
  "token-classification": tables({
    reader: () => TAGGED_WORDS_READER,
    noCells: "a cell holds no list, and tokens and tags are lists: write .jsonl",
    labels: (rows) => labelNames(rows.flatMap(({ tags }) => tags)),
  }),
  "masked-lm": tables({ reader: () => TEXT_READER }),
  "sentence-embedding": tables({ reader: () => PAIRED_TEXTS_READER }),
};

/** Every task on the command line. */
export const TASKS: Readonly<Record<TrainingTask, TaskCommand>> = {
  ...PREFERENCE_COMMANDS,

  "causal-lm": taskCommand({
    task: "causal-lm",
    ...TABLES["causal-lm"],
    async prepare(model, file, settings, note) {
      const read = await sequenceReader(model, settings, note);
      const { sequences: items, report, ...more } = read(file);
      return { items, report: { report }, ...more };
    },
    stream: streamSequences,
    ...ofKind(CAUSAL_LM, (judged) => {
      return { ...judged, summary: "", lines: [formatTestLine(judged)], json: judged };
    }),
    writing: (model, items, { chatTemplate, nameRow }) => ({
      lossMap: (subject, options) => mapLosses(model, items, { ...subject, nameRow }, options),
      exactMatch: (batchSize, most) => exactMatch(model, firstRows(items, most), { batchSize }),
      samples: (wanted) => writeSamples(model, items, wanted, chatTemplate),
    }),
  }),

  "sequence-classification": taskCommand({
    task: "sequence-classification",
    ...TABLES["sequence-classification"],
    ...textParts("sequence-classification"),
    ...ofKind(SEQUENCE_CLASSIFICATION, describeClassifier),
  }),

  "token-classification": taskCommand({
    task: "token-classification",
    ...TABLES["token-classification"],
    ...textParts("token-classification"),
    ...ofKind(TOKEN_CLASSIFICATION, describeTagger),
  }),

  "masked-lm": taskCommand({
    task: "masked-lm",
    ...TABLES["masked-lm"],
    ...textParts("masked-lm"),
    ...ofKind(MASKED_LM, (judged) => describeLoss(judged, "hidden tokens")),
  }),

  "sentence-embedding": taskCommand({
    task: "sentence-embedding",
    ...TABLES["sentence-embedding"],
    ...textParts("sentence-embedding"),
    ...ofKind(SENTENCE_EMBEDDING, (judged) => describeLoss(judged, "pairs")),
  }),

  "image-classification": taskCommand({
    task: "image-classification",
    readTraining: readImageFolders,
    readTest: async ({ data }) => readImages(await findTestImages(data)),
    labels: (rows) => labelNames(rows.map(({ label }) => label)),
    async prepare(model, { path, rows, nameOf }, _, note) {
      const images = rows.map(({ path, label }) => ({ image: () => decodeFile(path), label }));
      const items = await imageItems(model, { path, rows: images, nameOf });
      note(`${basename(path)}: ${count(rows.length)} images`);
      return { items, places: [...rows.keys()] };
    },
    ...ofKind(IMAGE_CLASSIFICATION, describeClassifier),
  }),
};

/** Rows of a task on texts → its items, whether they are in memory or read when they are needed. */
function textParts<T extends TextTask>(task: T) {
  type Rest = [settings: DataSettings, note: (line: string) => void];
  return {
    prepare: (model: LoadedModel<T>, file: RowFile<TextRow>, ...rest: Rest) =>
      prepareItems<TaskItem<T>>(task, model, file, ...rest),
    stream: (model: LoadedModel<T>, rows: RowStream<TextRow>, ...rest: Rest) =>
      streamItems<TaskItem<T>>(task, model, rows, ...rest),
  };
}

/** The images to learn from, and those to judge by. */
export async function readImageFolders({ data: [data = "", ...others], eval_data }: TrainingData) {
  if (others.length > 0) fail("data", "images come from one folder", "put all of them into it");
  return readBoth(await findImageFolders(data, eval_data), readImages);
}

async function readImages(path: string): Promise<RowFile<ImageFile>> {
  const { images, notes } = await listImages(path);
  return { path, rows: images, notes, nameOf: (place) => images[place]?.path ?? path };
}

const decodeFile = async (path: string) => decodeNodeImage(new Uint8Array(await readFile(path)), path);

/** What a task minimises, and what it measures, in lines. */
function ofKind<T extends Task>(
  { objective, evaluate }: TaskKind<T>,
  describe: (judged: TaskFigures<T>) => TaskEvaluation,
) {
  const options = {} as TaskOptions<T>; // a task of a head has none on the command line
  return {
    objective: (model: TaskModel<T>) => objective(model, options),
    evaluate: async (model: TaskModel<T>, items: Items<TaskItem<T>>, how: Required<EvaluationOptions>) =>
      describe(await evaluate(model, items, options, how)),
  };
}
