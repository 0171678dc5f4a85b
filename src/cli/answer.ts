import { type Model, requireTokenizer } from "../load/model.ts";
import type { GenerateOptions } from "../train/text.ts";
import type { Settings } from "./options.ts";
import type { ANSWER_OPTIONS } from "./tables/answer.ts";

/** How answers are written, and which of it the user gave. */
export interface AnswerSettings {
  readonly settings: Settings<typeof ANSWER_OPTIONS>;
  readonly given: { has(name: string): boolean };
}

/** What is not given on the command line stays away: the model's own sampling counts then. */
export function generateOptions({ settings, given }: AnswerSettings): GenerateOptions {
  const { temperature, top_k, top_p, min_p, repetition_penalty } = settings;
  return {
    maxNewTokens: settings.max_tokens,
    ...(given.has("temperature") && { temperature }),
    ...(given.has("top_k") && { topK: top_k }),
    ...(given.has("top_p") && { topP: top_p }),
    ...(given.has("min_p") && { minP: min_p }),
    ...(given.has("repetition_penalty") && { repetitionPenalty: repetition_penalty }),
    stop: settings.stop,
    seed: settings.seed,
    ...(settings.chat_template !== undefined && { chatTemplate: settings.chat_template }),
  };
}

/** Which of the model's own sampling counts, where any does. */
export function describeSampling(
  generation: Model["generation"],
  options: GenerateOptions,
): string | undefined {
  const used = Object.entries(generation).filter(([name]) => !(name in options));
  if (used.length === 0) return undefined;
  const list = used.map(
    ([name, value]) => `${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)} ${value}`,
  );
  return `Sampling of the model's generation_config.json: ${list.join(", ")}`;
}

/** Tokens of an answer. */
export interface Counts {
  /** Of what is answered, as the template renders it. */
  prompt: number;
  /** Of the answer so far, but for the one that ends it. */
  generated: number;
  /** When the first new token came; the prompt was read by then. */
  firstAt: number;
}

/** A model whose tokenizer counts: `generate` yields text, and a token may give none. */
export function countTokens(model: Model): { counted: Model; counts: Counts } {
  const tokenizer = requireTokenizer(model);
  const counts: Counts = { prompt: 0, generated: 0, firstAt: performance.now() };
  const counting: typeof tokenizer = {
    ...tokenizer,
    decodeStream(options) {
      counts.prompt = options?.after?.length ?? 0;
      return tokenizer.decodeStream(options);
    },
    // What is asked of every new token.
    specialToken(id) {
      if (counts.generated++ === 0) counts.firstAt = performance.now();
      return tokenizer.specialToken(id);
    },
  };
  return { counted: { ...model, tokenizer: counting }, counts };
}
