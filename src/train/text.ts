import { requireTrainable } from "../adapters/owners.ts";
import { rowName } from "../data/check-items.ts";
import { lengthToKeep } from "../data/packing.ts";
import type { Example } from "../data/rows/examples.ts";
import { type Tokenized, tokenizeExamples } from "../data/tokenize/tokenize.ts";
import { defaultMaxLength, TOKENIZE_RULES, type TokenizeOptions } from "../data/tokenize/tokenize-options.ts";
import type { TokenizeReport } from "../data/tokenize/tokenize-report.ts";
import { type Model, requireTokenizer } from "../load/model.ts";
import { freePositions } from "../models/model.ts";
import { requireModel } from "../nn/module.ts";
import type { Parameters } from "../nn/parameters.ts";
import { fail } from "../util/fail.ts";
import { callback, checkOptions, objectOf, pickOptions, type Rules, required } from "../util/options.ts";
import {
  EVALUATION_RULES,
  type Evaluation,
  type EvaluationOptions,
  evaluate as evaluateSequences,
} from "./evaluate.ts";
import { type StepMetrics, TRAINER_RULES, type TrainerOptions, trainSequences } from "./trainer.ts";

/** Options of {@link train}. */
export interface TrainOptions extends TrainerOptions, Partial<TokenizeOptions> {
  /** Told what became of the rows, before the first step. */
  onData?: (report: TokenizeReport) => void;
}

const TRAIN_RULES: Rules<TrainOptions> = { ...TRAINER_RULES, ...TOKENIZE_RULES, onData: callback() };

/** Anything with trainable tensors: an adapter. */
export interface Trainable {
  /** The tensors to be trained. */
  readonly parameters: Parameters;
}

const TRAINABLE = required(objectOf("an adapter, as attach gives it", (adapter) => "parameters" in adapter));

/**
 * Trains an adapter on text: `{ text }` or `{ prompt, completion }` rows, the latter on the completion only, or chats,
 * `{ messages }`, of which `assistantOnlyLoss` leaves the assistant's answers.
 * @param options see {@link TrainOptions}; `maxLength` is 1024 tokens, or what the model takes, unless given
 * @returns the metrics of one optimiser step per iteration
 * @throws LoraError where the model has no tokenizer or no row is left to learn, and as {@link trainObjective} does
 */
export async function* train(
  model: Model,
  adapter: Trainable,
  examples: readonly Example[],
  options: TrainOptions = {},
): AsyncGenerator<StepMetrics> {
  checkOptions("train", options, TRAIN_RULES);
  requireModel("train", model);
  checkOptions("train", { adapter }, { adapter: TRAINABLE });
  requireTrainable("train", adapter.parameters, model);
  const { sequences, report, nameRow, maxLength } = tokenize(model, examples, options);
  options.onData?.(report);
  const settings = { ...pickOptions(options, TRAINER_RULES), nameRow, maxLength };
  yield* trainSequences(model, adapter.parameters, sequences, settings);
}

/** Options of {@link evaluate}. */
export type EvaluateOptions = EvaluationOptions & Partial<TokenizeOptions>;

const EVALUATE_RULES: Rules<EvaluateOptions> = { ...EVALUATION_RULES, ...TOKENIZE_RULES };

/**
 * Mean loss (nats) and perplexity of the label tokens of text rows.
 * @throws LoraError where the model has no tokenizer or no row is left
 */
export async function evaluate(
  model: Model,
  examples: readonly Example[],
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  checkOptions("evaluate", options, EVALUATE_RULES);
  requireModel("evaluate", model);
  const { sequences, nameRow } = tokenize(model, examples, options);
  return evaluateSequences(model, sequences, { ...pickOptions(options, EVALUATION_RULES), nameRow });
}

/** The rows as the model is to read them, and what messages call each: some rows are left out. */
function tokenize(
  model: Model,
  examples: readonly Example[],
  options: Partial<TokenizeOptions> & Pick<TrainerOptions, "nameRow" | "packing">,
): Tokenized & Required<Pick<TrainerOptions, "nameRow" | "maxLength">> {
  const { vocabSize } = model.config;
  const maxPositions = freePositions(model);
  const { maxLength = defaultMaxLength(maxPositions), nameRow = rowName } = options;
  if (maxLength > maxPositions) {
    const got = `maxLength is ${maxLength}, more than the model's ${maxPositions} positions`;
    fail("maxLength", got, `give at most ${maxPositions}, or leave it out`);
  }
  const settled = { ...pickOptions(options, TOKENIZE_RULES), maxLength: lengthToKeep(maxLength, options) };
  const tokens = tokenizeExamples(examples, requireTokenizer(model), settled, {
    name: model.name,
    chatTemplates: model.chatTemplates,
    embeddingRows: vocabSize,
  });
  return { ...tokens, maxLength, nameRow: (sequence) => nameRow(tokens.places[sequence] as number) };
}
