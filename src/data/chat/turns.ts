import type { TextSpan } from "../../io/jinja/output.ts";
import { fail } from "../../util/fail.ts";
import type { ChatTemplate } from "./chat-template.ts";
import type { Message } from "./messages.ts";
import { type RenderedChat, type RenderOptions, renderChat } from "./render.ts";

/** A chat and the text that it is rendered as. */
export interface WholeChat {
  readonly messages: readonly Message[];
  readonly template: ChatTemplate;
  readonly options: RenderOptions;
  readonly rendered: RenderedChat;
}

/** Renders a chat for {@link turnSpan} and its like. */
export function renderWhole(
  messages: readonly Message[],
  template: ChatTemplate,
  options: RenderOptions,
): WholeChat {
  return { messages, template, options, rendered: renderChat(messages, template, options) };
}

/** The numbers of the assistant's messages. */
export function answersOf(messages: readonly Message[]): number[] {
  return messages.flatMap(({ role }, i) => (role === "assistant" ? [i] : []));
}

/**
 * Where in a rendered chat some of the assistant's messages are: what the template marks by `{% generation %}`, or else
 * what follows behind the rendered messages before each.
 * @throws LoraError where the template marks nothing and renders the beginning of a chat otherwise than the whole
 */
export function answerSpans(chat: WholeChat, wanted: readonly number[]): readonly TextSpan[] {
  if (!chat.template.template.marksGeneration) return wanted.map((i) => turnSpan(chat, i));
  const { generated } = chat.rendered;
  const answers = answersOf(chat.messages);
  if (wanted.length === answers.length) return generated;
  if (generated.length === answers.length)
    return generated.filter((_, at) => wanted.includes(answers[at] as number));
  // Some templates mark parts of an answer each by itself: what is whose is seen by where the turns are.
  const turns = wanted.map((i) => turnSpan(chat, i));
  return generated.filter(([at]) => turns.some(([start, end]) => at >= start && at < end));
}

/**
 * Where message `i` stands in a rendered chat: from the end of the messages before it, and for an assistant's of what
 * asks it to answer, to the end of the messages up to it.
 * @throws LoraError showing the first difference, where those are not how the whole chat begins
 */
export function turnSpan(chat: WholeChat, i: number): TextSpan {
  const { messages, rendered } = chat;
  const isAnswer = messages[i]?.role === "assistant";
  const start = i === 0 && !isAnswer ? 0 : prefixLength(chat, i, isAnswer);
  const end = i === messages.length - 1 ? rendered.text.length : prefixLength(chat, i + 1, false);
  return [start, Math.max(start, end)];
}

/**
 * How long the first `count` messages are in a rendered chat.
 * @throws LoraError as {@link turnSpan} does
 */
export function prefixLength(
  { messages, template, options, rendered }: WholeChat,
  count: number,
  addGenerationPrompt: boolean,
): number {
  const { text } = renderChat(messages.slice(0, count), template, { ...options, addGenerationPrompt });
  if (rendered.text.startsWith(text)) return text.length;
  const what = count === 1 ? "the first message" : `the first ${count} messages`;
  const asked = addGenerationPrompt ? " and the beginning of an answer" : "";
  return fail(
    template.name,
    `renders ${what}${asked} otherwise than the whole chat, so it is not known which tokens are whose: ` +
      firstDifference(text, rendered.text),
    "take a template that marks what the assistant writes by {% generation %}, or learn the last answer only (mask_history)",
  );
}

/** Characters shown on each side of a difference. */
const SHOWN = 30;

function firstDifference(part: string, whole: string): string {
  let at = 0;
  while (at < part.length && part[at] === whole[at]) at++;
  const show = (text: string) => `…${JSON.stringify(text.slice(Math.max(0, at - SHOWN), at + SHOWN))}…`;
  return `${show(part)} there, ${show(whole)} in the whole`;
}
