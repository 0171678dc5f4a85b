import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { fitImage } from "../data/images/fit-image.ts";
import { checkImageSize, imagePixels } from "../data/images/images.ts";
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
import {
  encodeLabelledTexts,
  encodeTaggedWords,
  type TextEncoder,
  textEncoder,
  tokenMasker,
} from "../data/tokenize/encode-task.ts";
import { specialFrame } from "../data/tokenize/special-frame.ts";
import { alienToken, REMEDY, RowCheck } from "../data/tokenize/vocabulary.ts";
import type { ImageConfig } from "../io/formats/image-config.ts";
import { type LoadedModel, requireTokenizer } from "../load/model.ts";
import type { Task } from "../models/model.ts";
import { decodeNodeImage } from "../platform/node-images.ts";
import {
  imageClassification,
  type LabelledImage,
  sequenceClassification,
  tokenClassification,
} from "../train/classification.ts";
import { contrastive, type TextPair } from "../train/contrastive.ts";
import { evaluate, meanLoss } from "../train/evaluate.ts";
import { evaluateClassifier, evaluateTagger } from "../train/evaluate-classifier.ts";
import { languageModelling, maskedLanguageModelling } from "../train/language-modelling.ts";
import { fail, failAll, LoraError, Problems } from "../util/fail.ts";
import { type RowFile, readBoth } from "./data-files.ts";
import { count, formatTestLine } from "./format.ts";
import { describeClassifier, describeLoss, describeTagger } from "./format-metrics.ts";
import { findImageFolders, findTestImages, type ImageFile, listImages } from "./image-folders.ts";
import { type DataSettings, sequenceReader, settleMaxLength } from "./sequences.ts";
import { streamSequences } from "./streamed-sequences.ts";
import { type TrainingData, tables } from "./tables-of-rows.ts";
import { type Prepared, type TaskCommand, taskCommand } from "./task.ts";

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
export const TASKS: Readonly<Record<Task, TaskCommand>> = {
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
  }),

  "sequence-classification": taskCommand({
    task: "sequence-classification",
    ...TABLES["sequence-classification"],
    prepare(model, file, settings, note) {
      const { path, rows } = file;
      const { kept, encoder, known } = openTexts(model, file, rows, settings, note);
      checkLabels(
        kept.map(({ label }) => label),
        model.labels,
        path,
      );
      return known(encodeLabelledTexts(kept, encoder, model.labels));
    },
    objective: sequenceClassification,
    evaluate: async (model, items, options) =>
      describeClassifier(await evaluateClassifier(sequenceClassification(model), items, options)),
  }),

  "token-classification": taskCommand({
    task: "token-classification",
    ...TABLES["token-classification"],
    prepare(model, file, settings, note) {
      const { path } = file;
      const tagged = file.rows.map((row) => ({ ...row, text: row.words.join(" ") }));
      const { kept, encoder, known } = openTexts(model, file, tagged, settings, note);
      checkLabels(
        kept.flatMap(({ tags }) => tags),
        model.labels,
        path,
      );
      return known(encodeTaggedWords(kept, encoder, model.labels));
    },
    objective: tokenClassification,
    evaluate: async (model, items, options) =>
      describeTagger(await evaluateTagger(tokenClassification(model), items, options)),
  }),

  "masked-lm": taskCommand({
    task: "masked-lm",
    ...TABLES["masked-lm"],
    prepare(model, file, settings, note) {
      const { path, rows, isPlainText } = file;
      if (isPlainText)
        fail(path, "is plain text, which masked-lm does not cut into windows", PLAIN_TEXT_HELP);
      const { kept, encoder, known } = openTexts(model, file, rows, settings, note);
      return known(kept.map(({ text }) => ({ inputIds: encoder.encode(text), labels: [] })));
    },
    objective: (model) => maskedLanguageModelling(model, maskerOf(model)),
    async evaluate(model, items, options) {
      const objective = maskedLanguageModelling(model, maskerOf(model));
      return describeLoss(await meanLoss(objective, items, options), "hidden tokens");
    },
  }),

  "sentence-embedding": taskCommand({
    task: "sentence-embedding",
    ...TABLES["sentence-embedding"],
    prepare(model, file, settings, note) {
      const { path, isPart } = file;
      const pairs = file.rows.map((row) => ({ ...row, text: row.anchor && row.positive }));
      const { kept, encoder, known } = openTexts(model, file, pairs, settings, note);
      if (kept.length < 2 && !isPart)
        fail(path, "has one pair only", "others are needed to tell it from: give two or more");
      const items = kept.map(({ anchor, positive }) => ({
        first: encoder.encode(anchor),
        second: encoder.encode(positive),
      }));
      return known(items);
    },
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

const PLAIN_TEXT_HELP = 'write .jsonl, a row for each paragraph: {"text": "…"}';

/** The images to learn from, and those to judge by. */
export async function readImageFolders({ data: [data = "", ...others], eval_data }: TrainingData) {
  if (others.length > 0) fail("data", "images come from one folder", "put all of them into it");
  return readBoth(await findImageFolders(data, eval_data), readImages);
}

async function readImages(path: string): Promise<RowFile<ImageFile>> {
  const { images, notes } = await listImages(path);
  return { path, rows: images, notes, nameOf: (place) => images[place]?.path ?? path };
}

/** A row of a task on texts. */
interface TextRow {
  readonly text: string;
  readonly textPair?: string;
}

/** The rows that can be used, what encodes them and what checks that the model knows all tokens of the items. */
function openTexts<R extends TextRow>(
  model: LoadedModel<Exclude<Task, "image-classification">>,
  { path, isPart, nameOf }: RowFile<object>,
  rows: readonly R[],
  settings: DataSettings,
  note: (line: string) => void,
): { kept: R[]; encoder: TextEncoder; known<I extends TextItem>(items: I[]): Prepared<I> } {
  const tokenizer = requireTokenizer(model);
  const maxLength = settleMaxLength(model.config.maxPositions, settings.max_length, note);
  const { truncation } = settings;
  if (truncation.startsWith("keep"))
    fail("truncation", `${truncation} is for causal-lm`, "truncate, or drop");
  const filled = rows.filter(({ text }) => text.trim() !== "");
  if (filled.length === 0 && !isPart) fail(path, "no row has a text", "give each row some words");
  const lengthOf = ({ text, textPair }: TextRow) =>
    (textPair === undefined
      ? tokenizer.encodeStart(text, maxLength + 1)
      : tokenizer.encodePair(text, textPair).ids
    ).length;
  const short = filled.filter((row) => lengthOf(row) <= maxLength);
  const kept = settings.truncation === "drop" ? short : filled;
  if (kept.length === 0 && !isPart)
    fail(path, `every row is longer than max_length ${maxLength}`, "cut the rows");
  for (const line of describeRows(basename(path), { rows, filled, short, kept }, maxLength)) note(line);
  const known = <I extends TextItem>(items: I[]): Prepared<I> => {
    const placeOf = new Map(rows.map((row, i) => [row, i]));
    const places = kept.map((row) => placeOf.get(row) as number);
    const check = new RowCheck({ tokenizer, rows: model.config.vocabSize });
    for (const [i, item] of items.entries()) check.add(nameOf(places[i] as number), idsOf(item));
    check.finish(path);
    return { items, places, maxLength };
  };
  return { kept, encoder: textEncoder(tokenizer, maxLength), known };
}

/** A row as tokens. */
type TextItem = { readonly inputIds: readonly number[] } | TextPair;

const idsOf = (item: TextItem) => ("inputIds" in item ? item.inputIds : [...item.first, ...item.second]);

/** What became of the rows of a file. */
function describeRows(
  name: string,
  { rows, filled, short, kept }: Record<"rows" | "filled" | "short" | "kept", readonly TextRow[]>,
  maxLength: number,
): string[] {
  const of = kept.length === rows.length ? "" : ` of ${count(rows.length)}`;
  const [empty, long] = [rows.length - filled.length, filled.length - short.length];
  const fate = kept === short ? "left out: they are longer than" : "cut to";
  return [
    `${name}: ${count(kept.length)}${of} rows`,
    ...(empty > 0 ? [`  ${count(empty)} rows left out: the text is empty`] : []),
    ...(long > 0 ? [`  ${count(long)} rows ${fate} max_length ${maxLength}`] : []),
  ];
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
