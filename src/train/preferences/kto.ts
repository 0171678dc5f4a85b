import { judgedLoss } from "../../autograd/preference-loss.ts";
import { checkItems } from "../../data/check-items.ts";
import { IGNORE_INDEX, type Sequence } from "../../data/sequence.ts";
import type { JudgedSequence } from "../../data/tokenize/tokenize-preferences.ts";
import { fromArray, scoped, type Tensor } from "../../gpu/tensor.ts";
import { add } from "../../kernels/elementwise.ts";
import { freePositions, type LanguageModel } from "../../models/model.ts";
import { checkModel } from "../../nn/module.ts";
import { checkOptions, integer, number, oneOf, type Rules, withDefaults } from "../../util/options.ts";
import { languageModelling } from "../language-modelling.ts";
import { type AnswerBatch, answerStart, collateAnswers } from "./answer-batch.ts";
import { PREFERENCE_BOUNDS } from "./dpo.ts";
import { JUDGED_MEASURES } from "./measures.ts";
import { ANSWER_LOSS_RULES, type AnswerLossOptions, problemIn, REFERENCE, withoutDropout } from "./pairs.ts";
import type { ReferencedObjective } from "./reference.ts";
import { referenceScores, scoreAnswers } from "./scores.ts";

/** Losses of KTO, by TRL's names. */
export const KTO_LOSSES = ["kto", "apo_zero_unpaired"] as const;

/** One of {@link KTO_LOSSES}. */
export type KtoLoss = (typeof KTO_LOSSES)[number];

/** Options of {@link kto}; names as in TRL's KTOConfig, in camel case. */
export interface KtoOptions extends AnswerLossOptions {
  /** `kto` unless given; `apo_zero_unpaired` does without the divergence. */
  lossType?: KtoLoss;
  /** How near the model stays to the reference: the larger, the nearer; 0.1 unless given. */
  beta?: number;
  /** Factor of the loss of desirable answers; 1 unless given. */
  desirableWeight?: number;
  /** Factor of the loss of undesirable answers; 1 unless given. */
  undesirableWeight?: number;
  /** Tokens of a prompt with an answer to another one at most; what the model takes, unless given. */
  maxLength?: number;
  /** What the model is compared with: the model without adapters, unless given. */
  reference?: LanguageModel;
}

/** What holds where nothing is said, here and on the command line. */
export const KTO_DEFAULTS = {
  ...{ lossType: "kto", beta: 0.1, desirableWeight: 1, undesirableWeight: 1 },
  disableDropout: true,
} satisfies KtoOptions;

const RULES: Rules<KtoOptions> = {
  lossType: oneOf(KTO_LOSSES, "loss_type"),
  beta: number(PREFERENCE_BOUNDS.beta),
  desirableWeight: number(PREFERENCE_BOUNDS.weight, "desirable_weight"),
  undesirableWeight: number(PREFERENCE_BOUNDS.weight, "undesirable_weight"),
  maxLength: integer({ min: 2 }, "max_length"),
  reference: REFERENCE,
  ...ANSWER_LOSS_RULES,
};

/** An answer that was judged, with what the reference model says of it where that is known. */
export interface ScoredAnswer extends JudgedSequence {
  /** log p of the answer by the reference; computed in each step unless given. */
  readonly reference?: number;
}

/** Judged answers side by side. */
export interface JudgedBatch extends AnswerBatch {
  /** The prompts with answers to others of them: the answers before theirs. Absent where the divergence is not asked for. */
  readonly mismatched?: AnswerBatch;
  /** Tokens of each answer; of undesirable ones the negative. */
  readonly signedTokens: Float32Array;
  /** log p by the reference, where it is known of all. */
  readonly reference?: Float32Array;
}

/**
 * Kahneman–Tversky optimisation: makes desirable answers likelier and undesirable ones less likely than the reference model
 * finds them, against the divergence of the two, which is estimated from prompts with answers to others of the batch.
 * Ethayarajh et al. 2024, arXiv 2402.01306.
 */
export function kto(
  model: LanguageModel,
  given: KtoOptions = {},
): ReferencedObjective<ScoredAnswer, JudgedBatch> {
  checkOptions("kto", given, RULES);
  checkModel("kto", model);
  const options = withDefaults(KTO_DEFAULTS, given);
  const { reference = model.withAdapters([]), maxLength = freePositions(model), disableDropout } = options;
  const { paddingFree = false, beta, desirableWeight: desirable, undesirableWeight: undesirable } = options;
  const { device, root, adapters } = model;
  const judge = languageModelling(model);
  const problemOf = (item: ScoredAnswer) => {
    const problem = problemIn(item, "the answer", judge);
    if (problem !== undefined || typeof item.isDesirable === "boolean") return problem;
    return `has isDesirable ${JSON.stringify(item.isDesirable)}, wanted true or false`;
  };
  return {
    ...{ device, root, adapters, problemOf, measures: JUDGED_MEASURES },
    ...(options.lossType === "kto" && { comparesItems: true as const }),
    lengthOf: ({ inputIds }) => inputIds.length,
    collate(items) {
      checkItems("collate", items, { problemOf });
      const batch = collateAnswers(items, { paddingFree });
      const known = items.flatMap(({ reference }) => (reference === undefined ? [] : [reference]));
      return {
        ...batch,
        ...(options.lossType === "kto" && {
          mismatched: collateAnswers(mismatch(items, maxLength), { paddingFree }),
        }),
        ...(known.length === items.length && { reference: Float32Array.from(known) }),
        signedTokens: batch.answerTokens.map((count, i) => (items[i]?.isDesirable ? count : -count)),
        terms: items.length,
      };
    },
    referenceScores: (batch) => referenceScores(reference, batch),
    withReference: (item, [score = 0]) => ({ ...item, reference: score }),
    loss(batch, context) {
      const { answers, mismatched, signedTokens } = batch;
      const pass = withoutDropout(context, disableDropout);
      const known = batch.reference && fromArray(device, batch.reference, [answers]);
      const given = known ?? referenceScores(reference, batch);
      const kl = mismatched && divergence(model, reference, mismatched);
      const { sums: policy, logits } = scoreAnswers(model, batch, pass);
      const tokens = fromArray(device, signedTokens, [answers]);
      const scores = { policy, reference: given, tokens, logits };
      const { loss, measured } = judgedLoss(context.tape, scores, kl, { beta, desirable, undesirable });
      context.report?.(measured);
      return loss;
    },
  };
}

/** log p of answers by the model minus that by the reference; nothing is learnt of it. */
function divergence(model: LanguageModel, reference: LanguageModel, batch: AnswerBatch): Tensor {
  return scoped(model.device, () =>
    add(referenceScores(model, batch), referenceScores(reference, batch), -1),
  );
}

/** Each prompt with the answer before its own, the first one with the last: as TRL pairs those of a batch. */
function mismatch(items: readonly Sequence[], maxLength: number): Sequence[] {
  return items.map((item, i) => {
    const other = items.at(i - 1) as Sequence;
    const prompt = item.inputIds.slice(0, answerStart(item));
    const answer = other.inputIds.slice(answerStart(other));
    const inputIds = [...prompt, ...answer].slice(0, maxLength);
    return { inputIds, labels: inputIds.map((id, at) => (at < prompt.length ? IGNORE_INDEX : id)) };
  });
}
