import { type Batch, collateRows } from "../data/batch.ts";
import { checkItems, idsProblem } from "../data/check-items.ts";
import type { LabelledTokens } from "../data/sequence.ts";
import type { MaskedLanguageModel } from "../models/model.ts";
import { headLoss } from "../nn/head.ts";
import { checkModel } from "../nn/module.ts";
import type { Random } from "../util/random.ts";
import { lengthOf, tokensProblem, uploadTokens } from "./language-modelling.ts";
import { inRows, type Objective } from "./objective.ts";

/**
 * Predicts each labelled token from those on both sides. Here `labels[i]` belongs to position i itself.
 * @param mask hides tokens of an item anew each time it is seen; without it the items are masked already
 */
export function maskedLanguageModelling(
  model: MaskedLanguageModel,
  mask?: (item: LabelledTokens, random: Random) => LabelledTokens,
): Objective<LabelledTokens, Batch> {
  checkModel("maskedLanguageModelling", model);
  const { device, root, adapters, config, head, headOptions } = model;
  const problemOf = (item: LabelledTokens) => tokensProblem(item, config, head);
  return {
    device,
    root,
    adapters,
    shapesLoss: true,
    // A mask gives the labels; what it makes is checked when it is made.
    problemOf: mask ? ({ inputIds }) => idsProblem(inputIds, config) : problemOf,
    lengthOf,
    ...inRows({}, (rows, random) => {
      let i = 0;
      const masked = mask ? rows.map((row) => row.map((item) => mask(item, random.fork(i++)))) : rows;
      checkItems("collate", masked.flat(), { problemOf });
      return collateRows(masked, "own");
    }),
    loss(batch, context) {
      const { ids, ...tokens } = uploadTokens(model, batch);
      const pass = { adapters: adapters.activeFor(ids, tokens.geometry), ...context, ...tokens };
      return headLoss(head, model.hidden(ids, pass), batch.targets, pass, {
        ...headOptions,
        ...context.lossShape,
      });
    },
  };
}
