import { requireTrainable } from "../adapters/owners.ts";
import { rowName } from "../data/check-items.ts";
import { isRowStream, type RowStream } from "../data/files/row-stream.ts";
import { lengthToKeep } from "../data/packing.ts";
import type { Example } from "../data/rows/examples.ts";
import { exampleSource } from "../data/tokenize/example-source.ts";
import type { RowEncoding } from "../data/tokenize/row-encoding.ts";
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
  /** Told what became of the rows, before the first step; not of such as are read when they are needed. */
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
 * @param examples rows, or where they are in files, as `streamRows` finds them: each is read and tokenised when its batch comes
 * @param options see {@link TrainOptions}; `maxLength` is 1024 tokens, or what the model takes, unless given
 * @returns the metrics of one optimiser step per iteration
 * @throws LoraError where the model has no tokenizer or no row is left to learn, and as {@link trainObjective} does
 */
export async function* train(
  model: Model,
  adapter: Trainable,
  examples: readonly Example[] | RowStream<Example>,
  options: TrainOptions = {},
): AsyncGenerator<StepMetrics> {
  checkOptions("train", options, TRAIN_RULES);
  requireModel("train", model);
  checkOptions("train", { adapter }, { adapter: TRAINABLE });
  requireTrainable("train", adapter.parameters, model);
  const encoding = encodingOf(model, options);
  const settings = { ...pickOptions(options, TRAINER_RULES), maxLength: encoding.maxLength };
  if (isRowStream<Example>(examples)) {
    yield* trainSequences(model, adapter.parameters, exampleSource(examples, encoding), settings);
    return;
  }
  const { sequences, report, nameRow } = tokenize(examples, encoding, options);
  options.onData?.(report);
  yield* trainSequences(model, adapter.parameters, sequences, { ...settings, nameRow });
}

/** Options of {@link evaluate}. */
export type EvaluateOptions = EvaluationOptions & Partial<TokenizeOptions>;

const EVALUATE_RULES: Rules<EvaluateOptions> = { ...EVALUATION_RULES, ...TOKENIZE_RULES };

/**
 * Mean loss (nats) and perplexity of the label tokens of text rows, which may be read when they are needed, as in {@link train}.
 * @throws LoraError where the model has no tokenizer or no row is left
 */
export async function evaluate(
  model: Model,
  examples: readonly Example[] | RowStream<Example>,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  checkOptions("evaluate", options, EVALUATE_RULES);
  requireModel("evaluate", model);
  const encoding = encodingOf(model, options);
  const settings = pickOptions(options, EVALUATION_RULES);
  if (isRowStream<Example>(examples)) {
    return evaluateSequences(model, exampleSource(examples, encoding), settings);
  }
  const { sequences, nameRow } = tokenize(examples, encoding, options);
  return evaluateSequences(model, sequences, { ...settings, nameRow });
}

/** How rows become tokens of a model. @throws LoraError where they may be longer than the model takes */
function encodingOf(
  model: Model,
  options: Partial<TokenizeOptions> & Pick<TrainerOptions, "packing">,
): RowEncoding {
  const maxPositions = freePositions(model);
  const { maxLength = defaultMaxLength(maxPositions) } = options;
  if (maxLength > maxPositions) {
    const got = `maxLength is ${maxLength}, more than the model's ${maxPositions} positions`;
    fail("maxLength", got, `give at most ${maxPositions}, or leave it out`);
  }
  return {
    tokenizer: requireTokenizer(model),
    maxLength,
    options: { ...pickOptions(options, TOKENIZE_RULES), maxLength: lengthToKeep(maxLength, options) },
    model: { name: model.name, chatTemplates: model.chatTemplates, embeddingRows: model.config.vocabSize },
  };
}

/** The rows as the model is to read them, and what messages call each: some rows are left out. */
function tokenize(
  examples: readonly Example[],
  { tokenizer, options, model }: RowEncoding,
  { nameRow = rowName }: Pick<TrainerOptions, "nameRow">,
): Tokenized & Required<Pick<TrainerOptions, "nameRow">> {
  const tokens = tokenizeExamples(examples, tokenizer, options, model);
  return { ...tokens, nameRow: (sequence) => nameRow(tokens.places[sequence] as number) };
}
