import { requireTrainable } from "../adapters/owners.ts";
import { type ChatExample, checkChat } from "../data/chat/chat-rows.ts";
import { templateChooser } from "../data/chat/chat-template.ts";
import { renderPrompt } from "../data/chat/encode-chat.ts";
import { endOfTurnToken } from "../data/chat/end-of-turn.ts";
import { rowName } from "../data/check-items.ts";
import { lengthToKeep } from "../data/packing.ts";
import { type Example, usesTools } from "../data/rows/examples.ts";
import { encodePrompt } from "../data/tokenize/special-frame.ts";
import { type Tokenized, tokenizeExamples } from "../data/tokenize/tokenize.ts";
import { defaultMaxLength, TOKENIZE_RULES, type TokenizeOptions } from "../data/tokenize/tokenize-options.ts";
import type { TokenizeReport } from "../data/tokenize/tokenize-report.ts";
import { alienToken, REMEDY } from "../data/tokenize/vocabulary.ts";
import { type Model, requireTokenizer } from "../load/model.ts";
import { requireModel } from "../nn/module.ts";
import type { Parameters } from "../nn/parameters.ts";
import { fail } from "../util/fail.ts";
import {
  callback,
  checkOptions,
  listOf,
  objectOf,
  pickOptions,
  type Rules,
  required,
  text,
  withDefaults,
} from "../util/options.ts";
import {
  EVALUATION_RULES,
  type Evaluation,
  type EvaluationOptions,
  evaluate as evaluateSequences,
} from "./evaluate.ts";
import { generateTokens, TOKEN_RULES, type TokenOptions } from "./generate.ts";
import { StopStrings } from "./stop-strings.ts";
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
  const { maxPositions, vocabSize } = model.config;
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

/** Options of {@link generate}. */
export interface GenerateOptions extends TokenOptions, Pick<TokenizeOptions, "chatTemplate"> {
  /** The text ends before the first of these; it may be, or hold, a special token such as `<|im_end|>`. */
  stop?: readonly string[];
}

const GENERATE_RULES: Rules<GenerateOptions> = {
  ...TOKEN_RULES,
  stop: listOf(text(), "a list of texts"),
  chatTemplate: TOKENIZE_RULES.chatTemplate,
};

/**
 * Continues a text, or answers a chat; yields printable pieces as they come, characters whole. A chat that ends with an
 * answer is continued in it, and an answer ends with the token that the template writes behind one. Sampling that is not given is that of the
 * model's `generation_config.json`, as in transformers: the most likely token where there is none.
 * @throws LoraError as {@link generateTokens} does, for an empty stop string, and where the template refuses the chat
 */
export async function* generate(
  model: Model,
  prompt: string | ChatExample,
  options: GenerateOptions = {},
): AsyncGenerator<string> {
  checkOptions("generate", options, GENERATE_RULES);
  requireModel("generate", model);
  const tokenizer = requireTokenizer(model);
  const { ids: promptIds, endings } = readPrompt(model, prompt, options.chatTemplate);
  const rows = model.config.vocabSize;
  const alien = alienToken(promptIds, { tokenizer, rows });
  if (alien !== undefined) fail("generate", `the prompt ${alien}`, REMEDY);
  const decoder = tokenizer.decodeStream({ after: promptIds });
  const stops = new StopStrings(options.stop ?? []);
  for await (const token of generateTokens(model, promptIds, {
    ...withDefaults(model.generation, pickOptions(options, TOKEN_RULES)),
    eosTokenIds: options.eosTokenIds ?? [...tokenizer.stopTokenIds, ...endings].filter((id) => id < rows),
  })) {
    const special = tokenizer.specialToken(token);
    const shown = special === undefined ? stops.push(decoder.push(token)) : stops.pushHidden(special);
    if (shown) yield shown;
    if (stops.stopped) return;
  }
  const rest = stops.push(decoder.flush()) + stops.flush();
  if (rest) yield rest;
}

/** The ids of a prompt, and those that end what is generated, beside the model's own. */
function readPrompt(
  model: Model,
  prompt: string | ChatExample,
  choice: string | undefined,
): { ids: number[]; endings: number[] } {
  const tokenizer = requireTokenizer(model);
  if (typeof prompt === "string") return { ids: encodePrompt(tokenizer, prompt), endings: [] };
  const chat = checkChat("generate", prompt);
  const template = templateChooser(model, tokenizer, choice)(usesTools(chat));
  const ending = endOfTurnToken(template, tokenizer);
  return {
    ids: tokenizer.encode(renderPrompt(chat, template), { addSpecialTokens: false }),
    endings: ending === undefined ? [] : [ending.id],
  };
}
