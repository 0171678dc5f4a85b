import type { Model } from "../load/model.ts";
import type { GenerateOptions } from "../train/generate-text.ts";
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
