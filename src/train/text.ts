import type { Example } from "../data/examples.ts";
import { encodePrompt } from "../data/special-frame.ts";
import { type TokenizeOptions, type TokenizeReport, tokenizeExamples } from "../data/tokenize.ts";
import { type Model, requireTokenizer } from "../load/model.ts";
import type { Parameters } from "../nn/parameters.ts";
import { type Evaluation, evaluate as evaluateSequences } from "./evaluate.ts";
import { generateTokens, type TokenOptions } from "./generate.ts";
import { StopStrings } from "./stop-strings.ts";
import { type StepMetrics, type TrainerOptions, trainSequences } from "./trainer.ts";

/** Longest sequence where nothing is said, as in TRL. */
const DEFAULT_MAX_LENGTH = 1024;

/** Options of {@link train}. */
export interface TrainOptions extends TrainerOptions, Partial<TokenizeOptions> {
  /** Told what became of the rows, before the first step. */
  onData?: (report: TokenizeReport) => void;
}

/** Anything with trainable tensors: an adapter. */
export interface Trainable {
  readonly parameters: Parameters;
}

/**
 * Trains an adapter on text: `{ text }` or `{ prompt, completion }` rows, the latter on the completion only.
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
  const { sequences, report } = tokenizeExamples(examples, requireTokenizer(model), settle(model, options));
  options.onData?.(report);
  yield* trainSequences(model, adapter.parameters, sequences, options);
}

/**
 * Mean loss (nats) and perplexity of the label tokens of text rows.
 * @throws LoraError where the model has no tokenizer or no row is left
 */
export async function evaluate(
  model: Model,
  examples: readonly Example[],
  options: Partial<TokenizeOptions> & { batchSize?: number } = {},
): Promise<Evaluation> {
  const { sequences } = tokenizeExamples(examples, requireTokenizer(model), settle(model, options));
  return evaluateSequences(model, sequences, options);
}

function settle(
  model: Model,
  options: Partial<TokenizeOptions>,
): Partial<TokenizeOptions> & { maxLength: number } {
  return {
    ...options,
    maxLength: options.maxLength ?? Math.min(DEFAULT_MAX_LENGTH, model.config.maxPositions),
  };
}

/** Options of {@link generate}. */
export interface GenerateOptions extends TokenOptions {
  /** The text ends before the first of these; it may be, or hold, a special token such as `<|im_end|>`. */
  stop?: readonly string[];
}

/**
 * Continues a text; yields printable pieces as they come, characters whole.
 * @throws LoraError as {@link generateTokens} does, and for an empty stop string
 */
export async function* generate(
  model: Model,
  prompt: string,
  options: GenerateOptions = {},
): AsyncGenerator<string> {
  const tokenizer = requireTokenizer(model);
  const promptIds = encodePrompt(tokenizer, prompt);
  const decoder = tokenizer.decodeStream({ after: promptIds });
  const stops = new StopStrings(options.stop ?? []);
  for await (const token of generateTokens(model, promptIds, {
    eosTokenIds: tokenizer.stopTokenIds,
    ...options,
  })) {
    const special = tokenizer.specialToken(token);
    const shown = special === undefined ? stops.push(decoder.push(token)) : stops.pushHidden(special);
    if (shown) yield shown;
    if (stops.stopped) return;
  }
  const rest = stops.push(decoder.flush()) + stops.flush();
  if (rest) yield rest;
}
