import type { TextSpan } from "../../io/jinja/output.ts";
import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import type { ChatCompletionExample, ChatContext, ChatExample } from "./chat-rows.ts";
import type { ChatTemplate } from "./chat-template.ts";
import { endOfTurnText, endOfTurnToken } from "./end-of-turn.ts";
import type { Message } from "./messages.ts";
import { noneParts } from "./none-content.ts";
import { type RenderOptions, renderChat } from "./render.ts";
import { checkRoles } from "./roles.ts";
import { type ChatPart, shownParts } from "./shown-parts.ts";
import { tokensInSpans } from "./token-mask.ts";
import { answerSpans, answersOf, prefixLength, renderWhole, turnSpan, type WholeChat } from "./turns.ts";

/** Which part of a chat gives a loss. */
export interface ChatMask {
  /** Of a prompt and a completion, the completion only. */
  readonly completionOnlyLoss: boolean;
  /** What the assistant wrote only. */
  readonly assistantOnlyLoss: boolean;
  /** Of what the assistant wrote, its last message only. */
  readonly maskHistory: boolean;
}

/** A chat as tokens. */
export interface EncodedChat {
  readonly ids: readonly number[];
  /** Which of them give a loss. */
  readonly trained: readonly boolean[];
  /** The place of a token that belongs to what is learnt and to what is before it; undefined where there is none. */
  readonly straddler: number | undefined;
  /** Whether an answer is learnt without the token that ends it. */
  readonly isOpen: boolean;
  /** The token that ends an answer, where the template writes one. */
  readonly ending: number | undefined;
  /** Whether more of it is learnt behind the ids that are given. */
  readonly isTrainedBeyond: boolean;
  /** Which messages the template wrote. */
  readonly parts: readonly ChatPart[];
}

/**
 * A chat as the tokens of its rendered text, and which of them are learnt. The text is tokenised as a whole, as it will
 * be in use, and a token that stands in a learnt part with one character is learnt.
 * @param count so many ids are enough, where not all are needed
 * @throws LoraError where the template refuses the chat, or leaves open which tokens are whose
 */
export function encodeChat(
  example: ChatExample | ChatCompletionExample,
  template: ChatTemplate,
  tokenizer: Tokenizer,
  mask: ChatMask,
  count?: number,
): EncodedChat {
  const isSplit = "completion" in example;
  const messages = isSplit ? [...example.prompt, ...example.completion] : example.messages;
  const chat = renderWhole(messages, template, contextOf(example));
  checkRoles(messages, template, chat.options);
  const start = isSplit && mask.completionOnlyLoss ? promptLength(chat, example.prompt) : 0;
  const spans = learntSpans(chat, mask).flatMap((span) => from(start, span));
  const { ids, offsets } = tokenizer.encodeWithOffsets(chat.rendered.text, count);
  const trained = tokensInSpans(offsets, spans);
  const straddler = offsets.findIndex(([first, end]) =>
    spans.some(([begin]) => first < begin && begin < end),
  );
  return {
    ids,
    trained,
    straddler: straddler < 0 ? undefined : straddler,
    isOpen: isOpen(ids, trained, template, tokenizer),
    isTrainedBeyond: ids.length === count && spans.some(([, end]) => end > (offsets.at(-1)?.[1] ?? 0)),
    ending: endOfTurnToken(template, tokenizer)?.id,
    parts: [...shownParts(messages, chat.rendered.text), ...noneParts(chat)],
  };
}

/** A chat as what comes before the assistant's answer, or before the rest of it where it ends with one. */
export function renderPrompt(chat: ChatExample, template: ChatTemplate): string {
  const isAnswered = chat.messages.at(-1)?.role === "assistant";
  const open = isAnswered ? { continueFinalMessage: true } : { addGenerationPrompt: true };
  const { text } = renderChat(chat.messages, template, { ...contextOf(chat), ...open });
  checkRoles(chat.messages, template, contextOf(chat));
  return text;
}

function contextOf({ tools, documents, chat_template_kwargs }: ChatContext): RenderOptions {
  return { tools: tools ?? null, documents: documents ?? null, variables: chat_template_kwargs ?? {} };
}

/** The part of a span behind a place. */
const from = (place: number, [start, end]: TextSpan): TextSpan[] =>
  end > place ? [[Math.max(place, start), end]] : [];

/** How long a prompt is in the rendered chat, with what asks the assistant for the completion. */
function promptLength(chat: WholeChat, prompt: readonly Message[]): number {
  const answers = chat.messages[prompt.length]?.role === "assistant";
  return prefixLength(chat, prompt.length, answers);
}

/** What the mask leaves of a chat, but for the completion's beginning. */
function learntSpans(chat: WholeChat, { assistantOnlyLoss, maskHistory }: ChatMask): readonly TextSpan[] {
  const isLearnt = (i: number) => chat.messages[i]?.train !== false;
  if (assistantOnlyLoss || maskHistory) {
    const answers = answersOf(chat.messages);
    return answerSpans(chat, (maskHistory ? answers.slice(-1) : answers).filter(isLearnt));
  }
  const { length } = chat.rendered.text;
  const hidden = [...chat.messages.keys()].filter((i) => !isLearnt(i)).map((i) => turnSpan(chat, i));
  const ends = [0, ...hidden.map(([, end]) => end)];
  return ends
    .map((end, i): TextSpan => [end, hidden[i]?.[0] ?? length])
    .filter(([start, end]) => start < end);
}

/** Whether the last token that is learnt is not the one which ends an answer, though the chat ends with one. */
function isOpen(
  ids: readonly number[],
  trained: readonly boolean[],
  template: ChatTemplate,
  tokenizer: Tokenizer,
): boolean {
  const last = trained.lastIndexOf(true);
  if (last < 0) return false;
  const ending = endOfTurnToken(template, tokenizer);
  if (ending === undefined) return endOfTurnText(template) === "";
  return !ids.slice(0, last + 1).some((id, i) => id === ending.id && trained[i]);
}
