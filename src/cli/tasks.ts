import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { RowStream } from "../data/files/row-stream.ts";
import { fitImage } from "../data/images/fit-image.ts";
import { checkImageSize, imagePixels } from "../data/images/images.ts";
import type { TextRow, TextTask } from "../data/inspect/item-look.ts";
import { exampleReader } from "../data/rows/examples.ts";
import {
  checkLabels,
  labelIndex,
  labelledTextReader,
  labelNames,
  PAIRED_TEXTS_READER,
  TAGGED_WORDS_READER,
  TEXT_READER,
} from "../data/rows/labelled.ts";
import type { LabelledTokens } from "../data/sequence.ts";
import { tokenMasker } from "../data/tokenize/encode-task.ts";
import { specialFrame } from "../data/tokenize/special-frame.ts";
import { alienToken, REMEDY } from "../data/tokenize/vocabulary.ts";
import type { ImageConfig } from "../io/formats/image-config.ts";
import { type LoadedModel, requireTokenizer } from "../load/model.ts";
import { decodeNodeImage } from "../platform/node-images.ts";
import {
  imageClassification,
  type LabelledImage,
  type LabelledText,
  sequenceClassification,
  tokenClassification,
} from "../train/classification.ts";
import { exactMatch, writeSamples } from "../train/completions.ts";
import { contrastive, type TextPair } from "../train/contrastive.ts";
import { evaluate, meanLoss } from "../train/evaluate.ts";
import { evaluateClassifier, evaluateTagger } from "../train/evaluate-classifier.ts";
import { languageModelling, maskedLanguageModelling } from "../train/language-modelling.ts";
import { fail, failAll, LoraError, Problems } from "../util/fail.ts";
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
import { type TaskCommand, taskCommand } from "./task.ts";
import type { CliTask } from "./task-names.ts";

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
export const TASKS: Readonly<Record<CliTask, TaskCommand>> = {
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
    objective: languageModelling,
    async evaluate(model, items, options) {
      const evaluation = await evaluate(model, items, options);
      return { ...evaluation, summary: "", lines: [formatTestLine(evaluation)], json: evaluation };
    },
    writing: (model, items, { chatTemplate, nameRow }) => ({
      lossMap: (subject, options) => mapLosses(model, items, { ...subject, nameRow }, options),
      exactMatch: (batchSize) => exactMatch(model, items, { batchSize }),
      samples: (wanted) => writeSamples(model, items, wanted, chatTemplate),
    }),
  }),

  "sequence-classification": taskCommand({
    task: "sequence-classification",
    ...TABLES["sequence-classification"],
    ...textParts("sequence-classification"),
    objective: sequenceClassification,
    evaluate: async (model, items, options) =>
      describeClassifier(await evaluateClassifier(sequenceClassification(model), items, options)),
  }),

  "token-classification": taskCommand({
    task: "token-classification",
    ...TABLES["token-classification"],
    ...textParts("token-classification"),
    objective: tokenClassification,
    evaluate: async (model, items, options) =>
      describeTagger(await evaluateTagger(tokenClassification(model), items, options)),
  }),

  "masked-lm": taskCommand({
    task: "masked-lm",
    ...TABLES["masked-lm"],
    ...textParts("masked-lm"),
    objective: (model) => maskedLanguageModelling(model, maskerOf(model)),
    async evaluate(model, items, options) {
      const objective = maskedLanguageModelling(model, maskerOf(model));
      return describeLoss(await meanLoss(objective, items, options), "hidden tokens");
    },
  }),

  "sentence-embedding": taskCommand({
    task: "sentence-embedding",
    ...TABLES["sentence-embedding"],
    ...textParts("sentence-embedding"),
    objective: (model) => contrastive(model),
    evaluate: async (model, items, options) =>
      describeLoss(await meanLoss(contrastive(model), items, options), "pairs"),
  }),

  "image-classification": taskCommand({
    task: "image-classification",
    readTraining: readImageFolders,
    readTest: async ({ data }) => readImages(await findTestImages(data)),
    labels: (rows) => labelNames(rows.map(({ label }) => label)),
    async prepare(model, { path, rows }, _, note) {
      checkLabels(
        rows.map(({ label }) => label),
        model.labels,
        path,
      );
      note(`${basename(path)}: ${count(rows.length)} images`);
      return { items: await openImages(model, path, rows), places: [...rows.keys()] };
    },
    objective: imageClassification,
    evaluate: async (model, items, options) =>
      describeClassifier(await evaluateClassifier(imageClassification(model), items, options)),
  }),
};

/** What each task on texts learns from. */
interface TextItems {
  readonly "sequence-classification": LabelledText;
  readonly "token-classification": LabelledTokens;
  readonly "masked-lm": LabelledTokens;
  readonly "sentence-embedding": TextPair;
}

/** Rows of a task on texts → its items, whether they are in memory or read when they are needed. */
function textParts<T extends TextTask>(task: T) {
  type Rest = [settings: DataSettings, note: (line: string) => void];
  return {
    prepare: (model: LoadedModel<T>, file: RowFile<TextRow>, ...rest: Rest) =>
      prepareItems<TextItems[T]>(task, model, file, ...rest),
    stream: (model: LoadedModel<T>, rows: RowStream<TextRow>, ...rest: Rest) =>
      streamItems<TextItems[T]>(task, model, rows, ...rest),
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

function maskerOf(model: LoadedModel<"masked-lm">) {
  const tokenizer = requireTokenizer(model);
  const rows = model.config.vocabSize;
  const { maskTokenId, vocabSize } = tokenizer;
  if (maskTokenId === undefined) {
    fail(model.name, "the tokenizer has no mask token", "name its mask_token in tokenizer_config.json");
  }
  const alien = alienToken([maskTokenId], { tokenizer, rows });
  if (alien !== undefined) fail(model.name, `each masked text ${alien}`, REMEDY);
  const { before, after } = specialFrame(tokenizer);
  return tokenMasker({ maskTokenId, vocabSize: Math.min(vocabSize, rows), special: [...before, ...after] });
}

/** All images of a folder; names every one that cannot be used. */
async function openImages(
  model: LoadedModel<"image-classification">,
  folder: string,
  images: readonly ImageFile[],
): Promise<LabelledImage[]> {
  const index = labelIndex(model.labels);
  const items: LabelledImage[] = [];
  const problems = new Problems();
  for (const image of images) {
    try {
      items.push({ ...(await openImage(model, image)), label: index(image.label) });
    } catch (error) {
      if (!(error instanceof LoraError) || error.kind !== "input") throw error;
      problems.push(error);
    }
  }
  failAll(folder, problems, "repair these files or take them out; preprocessor_config.json says the size");
  return items;
}

async function openImage(model: LoadedModel<"image-classification">, { path }: ImageFile) {
  const config = model.images as ImageConfig;
  const decoded = await decodeNodeImage(new Uint8Array(await readFile(path)), path);
  const image = fitImage(decoded, config);
  checkImageSize(image, model.image, path);
  return { pixels: () => imagePixels(image, config) };
}
