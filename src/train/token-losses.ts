import { collateRows, makeGroups } from "../data/batch.ts";
import { checkItems } from "../data/check-items.ts";
import { IGNORE_INDEX, type Sequence } from "../data/sequence.ts";
import { readAndRelease } from "../gpu/tensor.ts";
import type { LanguageModel } from "../models/model.ts";
import { headTokenLosses } from "../nn/head-token-losses.ts";
import { checkOptions, withDefaults } from "../util/options.ts";
import { EVALUATION_DEFAULTS, EVALUATION_RULES, type EvaluationOptions } from "./evaluate.ts";
import { languageModelling, uploadTokens } from "./language-modelling.ts";

/**
 * −log p of each label token of sequences, in nats: of each sequence as many values as it has tokens, NaN where a token has no label.
 * The model's adapters count; `model.withAdapters([])` is the base model.
 * @throws LoraError for sequences that cannot be used
 */
export async function lossOfTokens(
  model: LanguageModel,
  sequences: readonly Sequence[],
  options: EvaluationOptions = {},
): Promise<Float32Array[]> {
  checkOptions("lossOfTokens", options, EVALUATION_RULES);
  const { batchSize, nameRow } = withDefaults(EVALUATION_DEFAULTS, options);
  checkItems("lossOfTokens", sequences, languageModelling(model), { nameOf: nameRow });
  const losses: Float32Array[] = [];
  for (const places of makeGroups([...sequences.keys()], { batchSize })) {
    const group = places.map((place) => sequences[place] as Sequence);
    const values = await lossesOfBatch(model, group);
    let next = 0;
    for (const { labels } of group)
      losses.push(
        Float32Array.from(labels, (label, at) => (isPredicted(label, at) ? (values[next++] as number) : NaN)),
      );
  }
  return losses;
}

/** The first token of a text is predicted from nothing. */
const isPredicted = (label: number, at: number) => at > 0 && label !== IGNORE_INDEX;

/** Losses of all labels of a batch, sequence by sequence. */
async function lossesOfBatch(model: LanguageModel, group: readonly Sequence[]): Promise<Float32Array> {
  const { device, adapters, head, headOptions } = model;
  const batch = collateRows(
    group.map((item) => [item]),
    "next",
  );
  device.memory.beginStep();
  const windows = await readAndRelease(device, () => {
    const { ids, ...tokens } = uploadTokens(model, batch);
    const pass = { adapters: adapters.activeFor(ids, tokens.geometry), training: false, seed: 0, ...tokens };
    return headTokenLosses(head, model.hidden(ids, pass), batch.targets, pass, headOptions).map(
      ({ values }) => values,
    );
  });
  const joined = new Float32Array(batch.terms);
  let at = 0;
  for (const window of windows) {
    const values = new Float32Array(window);
    joined.set(values.subarray(0, joined.length - at), at);
    at += values.length;
  }
  return joined;
}
