import type { GenerateOptions, GenerationReport } from "../../train/generate-text.ts";
import { largest } from "../../util/arrays.ts";
import { LoraError } from "../../util/fail.ts";
import type { Speaker } from "./speakers.ts";

/** A chat that goes on: the same questions to several, each of whom sees its own answers. */
export interface Chat {
  /** All who could answer, the model as it is first. */
  readonly speakers: readonly Speaker[];
  /** Those of them who do, in this order; at least one. */
  active: readonly Speaker[];
}

/** How an answer ended, or that there is none. */
export type Ending =
  | { readonly kind: GenerationReport["ending"] }
  | { readonly kind: "refused"; readonly error: LoraError };

/** A piece of somebody's answer, or its end, or whose chat somebody goes on with who missed a question. */
export interface Said {
  readonly speaker: Speaker;
  readonly piece: string;
  readonly ending?: Ending;
  readonly follows?: Speaker;
}

/** Begins a chat: the adapters answer, or the model where there are none. */
export function beginChat(speakers: readonly Speaker[], system?: string): Chat {
  const tuned = speakers.filter(({ isTuned }) => isTuned);
  for (const { conversation } of speakers) conversation.setSystem(system);
  return { speakers, active: tuned.length > 0 ? tuned : speakers };
}

/** Whose chat is saved, and is taken up by those who missed a question: the first adapter's that answers, else the model's. */
export function leader({ active }: Chat): Speaker {
  return (active.find(({ isTuned }) => isTuned) ?? active[0]) as Speaker;
}

/**
 * Puts a question to all who answer, one after another, each of whom sees its own answers so far. Who missed a question,
 * because it did not answer then or had no place for it, goes on with the chat of one who heard all.
 * @throws LoraError where the device, its memory or the network fails; what a question alone is to blame for is an ending
 */
export async function* ask(
  chat: Chat,
  question: string,
  options: GenerateOptions = {},
): AsyncGenerator<Said> {
  yield* catchUp(chat);
  for (const speaker of chat.active) yield* speak(speaker, question, options);
}

function* catchUp(chat: Chat): Generator<Said> {
  const most = largest(chat.speakers.map(questions));
  const all = [leader(chat), ...chat.active, ...chat.speakers];
  const first = all.find((speaker) => questions(speaker) === most) as Speaker;
  for (const speaker of chat.active) {
    if (questions(speaker) === most) continue;
    speaker.conversation.messages = first.conversation.messages;
    yield { speaker, piece: "", follows: first };
  }
}

const questions = ({ conversation }: Speaker) =>
  conversation.messages.filter(({ role }) => role === "user").length;

async function* speak(speaker: Speaker, question: string, options: GenerateOptions): AsyncGenerator<Said> {
  let ending: Ending = { kind: "stopped" };
  const onEnd = (report: GenerationReport) => {
    ending = { kind: report.ending };
  };
  try {
    for await (const piece of speaker.conversation.ask(question, { ...options, onEnd }))
      yield { speaker, piece };
  } catch (error) {
    if (!(error instanceof LoraError) || !OF_A_QUESTION.has(error.kind)) throw error;
    ending = { kind: "refused", error };
  }
  yield { speaker, piece: "", ending };
}

/** What goes wrong with one question, and not with the next. */
const OF_A_QUESTION: ReadonlySet<string> = new Set(["input", "unsupported"]);
