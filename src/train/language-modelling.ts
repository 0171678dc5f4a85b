import { placeTargets } from "../autograd/loss.ts";
import { type Batch, collateRows, type TokenBatch } from "../data/batch.ts";
import { idsProblem, labelsProblem, type TextLimits } from "../data/check-items.ts";
import { IGNORE_INDEX, type LabelledTokens, type Sequence } from "../data/sequence.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import { freePositions, type LanguageModel, type TextModel } from "../models/model.ts";
import { placeTokens } from "../nn/geometry.ts";
import { headLoss, isWrapped } from "../nn/head.ts";
import type { Linear } from "../nn/linear.ts";
import { type Context, checkModel } from "../nn/module.ts";
import { inRows, type Objective, type PassContext, type Placed } from "./objective.ts";
import { seenOnHost } from "./seen-on-host.ts";

/** Predicting each labelled token from those before it. */
export function languageModelling(model: LanguageModel): Objective<Sequence, Batch> {
  checkModel("languageModelling", model);
  const { device, root, adapters, config, head } = model;
  // A row's last token is predicted and predicts nothing, so that it may be one more than the model has positions.
  const limits = { ...config, maxPositions: freePositions(model) + 1 };
  const anyLength = { ...config, maxPositions: Number.POSITIVE_INFINITY };
  const place = (batch: Batch) => placeBatch(model, batch);
  const loss = (batch: Batch, context: PassContext) => place(batch).loss(context);
  const problemOf = (item: Sequence, isSplit = false) =>
    tokensProblem(item, isSplit ? anyLength : limits, head);
  return {
    device,
    root,
    adapters,
    shapesLoss: true,
    problemOf,
    lengthOf,
    ...inRows({ problemOf }, (rows) => collateRows(rows, "next")),
    slice(item, from, to) {
      const labels = item.labels.slice(from, to);
      const isLearnt = labels.some((label, i) => i > 0 && label !== IGNORE_INDEX);
      return isLearnt ? { inputIds: item.inputIds.slice(from, to), labels } : undefined;
    },
    loss,
    placing: { of: loss, place },
  };
}

/** A batch on the device, and the loss of it. */
function placeBatch(model: LanguageModel, batch: Batch): Placed {
  const { device, adapters, head, headOptions } = model;
  const { ids, ...tokens } = uploadTokens(model, batch);
  const { spans, positions } = tokens.geometry;
  const seen = seenOnHost(model, tokens.geometry);
  // An adapter around the output layer takes labels piece by piece.
  const isTaken = seen && batch.terms > 0 && !isWrapped(head, { adapters: adapters.active });
  const sizes = { rows: ids.size, classes: head.outFeatures };
  const placed = isTaken ? placeTargets(device, batch.targets, sizes) : undefined;
  const targets = { ...batch.targets, placed };
  const uploaded = [ids, spans, positions, tokens.tokenTypes, placed?.labels, placed?.index];
  return {
    inputs: uploaded.filter((tensor) => tensor !== undefined),
    key: seen && [...seen, head, headOptions],
    loss(context) {
      const pass = { adapters: adapters.activeFor(ids, tokens.geometry), ...context, ...tokens };
      return headLoss(head, model.hidden(ids, pass), targets, pass, { ...headOptions, ...context.lossShape });
    },
  };
}

/** Tokens of an item. */
export const lengthOf = ({ inputIds }: LabelledTokens) => inputIds.length;

/** What is wrong with tokens and their labels, which are tokens too. */
export function tokensProblem(
  { inputIds, labels }: LabelledTokens,
  limits: TextLimits,
  head: Linear,
): string | undefined {
  return idsProblem(inputIds, limits) ?? labelsProblem(labels, inputIds.length, head.outFeatures);
}

/** ids u32 `[B, T]` and where they stand; segments where there are any. */
export function uploadTokens({ device }: Pick<TextModel, "device">, batch: TokenBatch): UploadedTokens {
  const { inputIds, batchSize, length, segments } = batch;
  return {
    ...(segments && { tokenTypes: fromArray(device, segments, [batchSize, length]) }),
    ids: fromArray(device, inputIds, [batchSize, length]),
    geometry: placeTokens(device, batch),
  };
}

interface UploadedTokens extends Pick<Context, "geometry" | "tokenTypes"> {
  ids: Tensor;
}
