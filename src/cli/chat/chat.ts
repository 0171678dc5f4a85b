import type { Message } from "../../data/chat/messages.ts";
import { type GenerateOptions, generate } from "../../train/text.ts";
import { LoraError } from "../../util/fail.ts";
import { countTokens } from "../answer.ts";
import type { Speaker } from "./speakers.ts";

/** A chat that goes on. */
export interface Chat {
  /** All who could answer, the model as it is first. */
  readonly speakers: readonly Speaker[];
  /** Those of them who do, in this order; at least one. */
  active: readonly Speaker[];
  /** What was said so far. */
  messages: readonly Message[];
}

/** How an answer ended: by itself, at the most tokens, with the model's last position, or not at all. */
export type Ending =
  | { readonly kind: "complete" | "cut" }
  | { readonly kind: "full"; readonly positions: number }
  | { readonly kind: "refused"; readonly error: LoraError }
  | { readonly kind: "too-long"; readonly tokens: number; readonly positions: number };

/** A piece of somebody's answer, or its end. */
export type Said = { readonly speaker: Speaker; readonly piece: string; readonly ending?: Ending };

/** Begins a chat: the adapters answer, or the model where there are none. */
export function beginChat(speakers: readonly Speaker[], system?: string): Chat {
  const tuned = speakers.filter(({ isTuned }) => isTuned);
  return {
    speakers,
    active: tuned.length > 0 ? tuned : speakers,
    messages: system === undefined ? [] : [{ role: "system", content: system }],
  };
}

/** Whose answers the chat goes on with: the first adapter's that answers, else the model's. */
export function leader({ active }: Chat): Speaker | undefined {
  return active.find(({ isTuned }) => isTuned) ?? active[0];
}

/**
 * Puts a question to all who answer, one after another, each of whom sees the same chat. The chat goes on with the
 * answer of its {@link leader}, also where it is cut short; where there is none it stays as it was.
 * @throws LoraError where the device, its memory or the network fails; what a question alone is to blame for is an ending
 */
export async function* ask(
  chat: Chat,
  question: string,
  options: GenerateOptions = {},
): AsyncGenerator<Said> {
  const messages = [...chat.messages, { role: "user", content: question }];
  const lead = leader(chat);
  let answer: string | undefined;
  try {
    for (const speaker of chat.active) {
      for await (const said of speak(speaker, messages, options)) {
        const isAnswer = said.piece !== "" || isAnswered(said.ending);
        if (speaker === lead && isAnswer) answer = (answer ?? "") + said.piece;
        yield said;
      }
    }
  } finally {
    // Templates write the blanks around an answer themselves.
    if (answer !== undefined) {
      chat.messages = [...messages, { role: "assistant", content: answer.trimEnd() }];
    }
  }
}

function isAnswered(ending: Ending | undefined): boolean {
  return ending !== undefined && ending.kind !== "refused" && ending.kind !== "too-long";
}

/** One answer, from its first character that is no blank. */
async function* speak(
  speaker: Speaker,
  messages: readonly Message[],
  options: GenerateOptions,
): AsyncGenerator<Said> {
  const { model } = speaker;
  const { counted, counts } = countTokens(model);
  const { maxPositions: positions } = model.config;
  let begun = false;
  try {
    for await (const text of generate(counted, { messages }, options)) {
      const piece: string = begun ? text : text.trimStart();
      begun ||= piece !== "";
      if (begun) yield { speaker, piece };
    }
  } catch (error) {
    if (!(error instanceof LoraError) || !OF_A_QUESTION.has(error.kind)) throw error;
    const { prompt: tokens } = counts;
    const isTooLong = tokens >= positions;
    const ending: Ending = isTooLong ? { kind: "too-long", tokens, positions } : { kind: "refused", error };
    yield { speaker, piece: "", ending };
    return;
  }
  const isFull = counts.prompt + counts.generated >= positions;
  const isCut = counts.generated >= (options.maxNewTokens ?? Number.POSITIVE_INFINITY);
  const ending: Ending = isFull ? { kind: "full", positions } : { kind: isCut ? "cut" : "complete" };
  yield { speaker, piece: "", ending };
}

/** What goes wrong with one question, and not with the next. */
const OF_A_QUESTION: ReadonlySet<string> = new Set(["input", "unsupported"]);
