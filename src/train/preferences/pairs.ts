import { pairLoss } from "../../autograd/preference-loss.ts";
import { checkItems } from "../../data/check-items.ts";
import type { PreferencePair } from "../../data/tokenize/tokenize-preferences.ts";
import { fromArray, type Tensor } from "../../gpu/tensor.ts";
import { zeros } from "../../kernels/elementwise.ts";
import type { PairLossOptions } from "../../kernels/preference.ts";
import type { LanguageModel } from "../../models/model.ts";
import { checkModel } from "../../nn/module.ts";
import { fail } from "../../util/fail.ts";
import { flag, objectOf, type Rules } from "../../util/options.ts";
import { languageModelling } from "../language-modelling.ts";
import type { PassContext } from "../objective.ts";
import { type AnswerBatch, answerProblem, collateAnswers } from "./answer-batch.ts";
import { pairMeasures } from "./measures.ts";
import type { ReferencedObjective } from "./reference.ts";
import { referenceScores, scoreAnswers } from "./scores.ts";

/** A pair of answers, with what the reference model says of them where that is known. */
export interface ScoredPair extends PreferencePair {
  /** log p of the two answers by the reference; computed in each step unless given. */
  readonly reference?: { readonly chosen: number; readonly rejected: number };
}

/** Pairs side by side: all chosen answers, then all rejected ones. */
export interface PairBatch extends AnswerBatch {
  /** log p by the reference, `[answers]`, where it is known of all. */
  readonly reference?: Float32Array;
}

/** What all losses on answers take. */
export interface AnswerLossOptions {
  /** Leaves out the adapter's dropout while training, as TRL does; true unless given. */
  disableDropout?: boolean;
  /** Puts all answers of a batch into one row, so that nothing is padded; false unless given. */
  paddingFree?: boolean;
}

/** What these options have to be. */
export const ANSWER_LOSS_RULES: Rules<AnswerLossOptions> = {
  disableDropout: flag("disable_dropout"),
  paddingFree: flag("padding_free"),
};

/** A language model, such as one with other adapters. */
export const REFERENCE = objectOf(
  "a language model, such as model.withAdapters([first])",
  (given) => "hidden" in given && "adapters" in given,
);

/** What a loss of pairs is made of. */
export interface PairSettings extends AnswerLossOptions {
  readonly losses: readonly PairLossOptions[];
  /** An answer's score is the mean of its tokens' log p. */
  readonly isMean?: boolean;
  /** The chosen answers' −log p is learnt with their prompts. */
  readonly learnsPrompts?: boolean;
  /** How much tokens beyond the other answer's length count; as all others unless given. */
  readonly tailWeight?: number;
  /** What the model is compared with; nothing where it is absent. */
  readonly reference?: LanguageModel;
}

/** A loss on pairs of answers. */
export function pairObjective(
  where: string,
  model: LanguageModel,
  settings: PairSettings,
): ReferencedObjective<ScoredPair, PairBatch> {
  checkModel(where, model);
  const {
    losses,
    isMean,
    learnsPrompts,
    tailWeight,
    reference,
    disableDropout = true,
    paddingFree,
  } = settings;
  const [first] = losses as readonly [PairLossOptions];
  const hasNll = first.nll !== 0;
  const isSorted = losses.some(({ loss }) => loss === "aot" || loss === "aot_unpaired");
  const judge = languageModelling(model);
  const problemOf = ({ chosen, rejected }: ScoredPair) =>
    problemIn(chosen, "chosen", judge) ?? problemIn(rejected, "rejected", judge);
  return {
    ...{ device: model.device, root: model.root, adapters: model.adapters },
    problemOf,
    lengthOf: ({ chosen, rejected }) => Math.max(chosen.inputIds.length, rejected.inputIds.length), // all are padded alike
    ...((hasNll || isSorted) && { comparesItems: true as const }), // a mean, or an order, over all of a batch
    measures: pairMeasures({ hasNll, isOrpo: first.loss === "orpo" }),
    collate(pairs) {
      checkItems("collate", pairs, { problemOf });
      const sequences = [...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)];
      const batch = collateAnswers(sequences, {
        ...(isMean !== undefined && { isMean }),
        ...(paddingFree !== undefined && { paddingFree }),
        ...(learnsPrompts !== undefined && { learnsPrompts }),
        ...(hasNll && { learnt: pairs.length }),
        ...(tailWeight !== undefined && { tailWeight }),
      });
      return { ...batch, ...knownScores(pairs), terms: pairs.length };
    },
    ...(reference && { referenceScores: (batch: PairBatch) => referenceScores(reference, batch) }),
    withReference: (pair, [chosen = 0, rejected = 0]) => ({ ...pair, reference: { chosen, rejected } }),
    loss(batch, context) {
      const given = referenceOf(reference, batch, model);
      const { sums, logits } = scoreAnswers(model, batch, withoutDropout(context, disableDropout));
      const tokens = fromArray(model.device, batch.answerTokens, [batch.answers]);
      const scores = { policy: sums, reference: given, tokens, logits };
      const { loss, measured } = pairLoss(context.tape, scores, losses);
      context.report?.(measured);
      return loss;
    },
  };
}

/** What is wrong with one answer of a row. */
export function problemIn(
  sequence: PreferencePair["chosen"] | undefined,
  name: string,
  judge: Pick<ReturnType<typeof languageModelling>, "problemOf">,
): string | undefined {
  if (typeof sequence !== "object" || sequence === null) return `has no ${name}, wanted inputIds and labels`;
  const problem = judge.problemOf?.(sequence);
  return problem === undefined ? answerProblem(sequence, name) : `${problem} (${name})`;
}

/**
 * The pass without the adapter's dropout, where it is left out.
 * @throws LoraError where noise is asked for, which answers would be compared through
 */
export function withoutDropout(context: PassContext, disableDropout: boolean): PassContext {
  if (context.embeddingNoise !== undefined)
    fail("neftuneNoiseAlpha", "answers are compared, and noise would come between them", "leave it out");
  return disableDropout ? { ...context, training: false } : context;
}

function knownScores(pairs: readonly ScoredPair[]): Pick<PairBatch, "reference"> {
  const known = pairs.flatMap(({ reference }) => (reference ? [reference] : []));
  if (known.length < pairs.length) return {};
  return {
    reference: Float32Array.from([
      ...known.map(({ chosen }) => chosen),
      ...known.map(({ rejected }) => rejected),
    ]),
  };
}

/** log p of the answers by the reference: known, or computed now; zeros where there is none. */
function referenceOf(
  reference: LanguageModel | undefined,
  batch: PairBatch,
  { device }: LanguageModel,
): Tensor {
  if (!reference) return zeros(device, [batch.answers]);
  return batch.reference
    ? fromArray(device, batch.reference, [batch.answers])
    : referenceScores(reference, batch);
}
