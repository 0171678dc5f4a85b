import { softmaxCrossEntropy } from "../autograd/loss.ts";
import { fillDocuments, packRows, type TokenBatch } from "../data/batch.ts";
import { checkItems, idsProblem, labelsProblem } from "../data/check-items.ts";
import { collateLabels, type LabelBatch } from "../data/label-batch.ts";
import { labelProblem, segmentsProblem } from "../data/label-problems.ts";
import type { LabelledTokens } from "../data/sequence.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import type { ImageClassifier, TextClassifier } from "../models/model.ts";
import { checkModel } from "../nn/module.ts";
import { fail } from "../util/fail.ts";
import { uploadTokens } from "./language-modelling.ts";
import { type Counted, inRows, type Objective, type PassContext } from "./objective.ts";

/** Objective of a classifier, whose scores can be looked at too. */
export interface ClassifierObjective<Item, B extends Counted> extends Objective<Item, B> {
  /** Names of the classes, by index. */
  readonly labelNames: readonly string[];
  /** Scores `[..., C]`, a row for each label of the batch. */
  logits(batch: B, context: PassContext): Tensor;
  /** Class of each row of the scores; −100: none. */
  labelsOf(batch: B): Int32Array;
}

/** A text and its class. */
export interface LabelledText {
  /** Token ids, with the special tokens that the model wants. */
  readonly inputIds: readonly number[];
  /** Segment of each token of a pair of texts; all belong to the first text where it is absent. */
  readonly segments?: readonly number[];
  /** Index of the class. */
  readonly label: number;
}

/** Texts and their classes, side by side: one for each document, in their order. */
export interface LabelledTexts extends TokenBatch, Counted {
  readonly labels: Int32Array;
}

/** Telling the class of a whole text. */
export function sequenceClassification(
  model: TextClassifier<"sequence-classification">,
): ClassifierObjective<LabelledText, LabelledTexts> {
  checkModel("sequenceClassification", model);
  const { config, labels: classes } = model;
  if (classes.length < 2) {
    const got = `the head has one score, ${classes[0]}, and nothing to tell it from`;
    fail("sequenceClassification", got, "name two classes or more, or learn rewards: rewardModelling");
  }
  const problemOf = ({ inputIds, segments, label }: LabelledText) =>
    idsProblem(inputIds, config) ??
    segmentsProblem(segments, inputIds.length, config) ??
    labelProblem(label, classes.length);
  return classifier(model, {
    problemOf,
    lengthOf: ({ inputIds }) => inputIds.length,
    ...inRows({ problemOf }, (rows: readonly (readonly LabelledText[])[]) => {
      const batch = packRows(rows.map((row) => row.map(({ inputIds }) => inputIds)));
      const items = rows.flat();
      const labels = Int32Array.from(items, ({ label }) => label);
      return { ...batch, ...segmentsOf(items, batch), labels, terms: items.length };
    }),
    logits: (batch, context) => textLogits(model, batch, context),
  });
}

/** The segments side by side as the tokens are, where there are any. */
function segmentsOf(items: readonly LabelledText[], batch: TokenBatch): Pick<TokenBatch, "segments"> {
  if (items.every(({ segments }) => segments === undefined)) return {};
  const given = items.map(({ segments }) => segments ?? []);
  return { segments: fillDocuments(new Uint32Array(batch.inputIds.length), batch, given) };
}

/** Telling the class of each labelled token; `labels[i]` is the class of token i itself. */
export function tokenClassification(
  model: TextClassifier<"token-classification">,
): ClassifierObjective<LabelledTokens, LabelBatch> {
  checkModel("tokenClassification", model);
  const { config, labels: classes } = model;
  const problemOf = ({ inputIds, labels }: LabelledTokens) =>
    idsProblem(inputIds, config) ?? labelsProblem(labels, inputIds.length, classes.length);
  return classifier(model, {
    problemOf,
    lengthOf: ({ inputIds }) => inputIds.length,
    ...inRows({ problemOf }, (rows: readonly (readonly LabelledTokens[])[]) => collateLabels(rows)),
    logits: (batch, context) => textLogits(model, batch, context),
  });
}

/** An image and its class. */
export interface LabelledImage {
  /** `[channels, height, width]`, normalised; made when they are needed, since bytes take a quarter of the memory. */
  pixels(): Float32Array;
  /** Index of the class. */
  readonly label: number;
}

/** Images and their classes, side by side. */
export interface LabelledImages extends Counted {
  /** `[B, channels, height, width]` */
  readonly pixels: Float32Array;
  readonly labels: Int32Array;
}

/** Telling the class of an image. */
export function imageClassification(
  model: ImageClassifier,
): ClassifierObjective<LabelledImage, LabelledImages> {
  checkModel("imageClassification", model);
  const { channels, height, width } = model.image;
  const size = channels * height * width;
  const problemOf = ({ label }: LabelledImage) => labelProblem(label, model.labels.length);
  return classifier(model, {
    problemOf,
    collate(items) {
      checkItems("collate", items, { problemOf });
      const pixels = new Float32Array(items.length * size);
      for (const [i, item] of items.entries()) pixels.set(pixelsOf(item, size), i * size);
      const labels = Int32Array.from(items, ({ label }) => label);
      return { pixels, labels, tokens: items.length, terms: items.length };
    },
    logits({ pixels, labels }, context) {
      const images = fromArray(model.device, pixels, [labels.length, channels, height, width]);
      return model.logits(images, context);
    },
  });
}

/** An image's values, which are as many as the model takes. */
function pixelsOf(item: LabelledImage, size: number): Float32Array {
  const pixels = item.pixels();
  if (pixels.length === size) return pixels;
  return fail(
    "collate",
    `an image has ${pixels.length} values, and the model takes ${size}`,
    "scale it first",
  );
}

function textLogits(
  model: TextClassifier<"sequence-classification" | "token-classification">,
  batch: TokenBatch,
  context: PassContext,
): Tensor {
  const { ids, ...tokens } = uploadTokens(model, batch);
  return model.logits(ids, { ...context, ...tokens });
}

function classifier<Item, B extends Counted & { readonly labels: Int32Array }>(
  {
    device,
    root,
    adapters,
    labels: labelNames,
  }: Pick<ImageClassifier, "device" | "root" | "adapters" | "labels">,
  parts: Omit<
    ClassifierObjective<Item, B>,
    "device" | "root" | "adapters" | "labelNames" | "labelsOf" | "loss"
  >,
): ClassifierObjective<Item, B> {
  return {
    ...parts,
    shapesLoss: true,
    device,
    root,
    adapters,
    labelNames,
    labelsOf: ({ labels }) => labels,
    loss: (batch, context) =>
      softmaxCrossEntropy(context.tape, parts.logits(batch, context), batch.labels, context.lossShape),
  };
}
