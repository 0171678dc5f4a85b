import type { TextSpan } from "../../io/jinja/output.ts";
import { strip } from "../../io/jinja/python-text.ts";
import { fail } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import {
  checkOptions,
  either,
  flag,
  listOf,
  objectOf,
  type Rule,
  type Rules,
  text,
} from "../../util/options.ts";
import type { ChatTemplate } from "./chat-template.ts";
import type { Message } from "./messages.ts";

/** What a chat is rendered with beside its messages. */
export interface RenderOptions {
  /** Ends with what comes before an answer of the assistant. */
  addGenerationPrompt?: boolean;
  /** Ends where the last message ends, without what the template writes behind it; or the field that is continued. */
  continueFinalMessage?: boolean | string;
  /** JSON schemas of what the assistant may call. */
  tools?: readonly JsonObject[] | null;
  /** What the answer is to be taken from: `title` and `text` each. */
  documents?: readonly JsonObject[] | null;
  /** Other names that the template knows, such as `enable_thinking`. */
  variables?: JsonObject;
  /** What time it is for templates that write the date; now, unless given. */
  now?: Date;
}

const OBJECTS = listOf(objectOf("an object"), "a list of objects");
const NULL: Rule = { wanted: "null", accepts: (value) => value === null, aliases: [] };

/** What the options have to be. */
const RENDER_RULES: Rules<RenderOptions> = {
  addGenerationPrompt: flag("add_generation_prompt"),
  continueFinalMessage: either(flag(), text(), "continue_final_message"),
  tools: either(OBJECTS, NULL),
  documents: either(OBJECTS, NULL),
  variables: objectOf("an object of names and values"),
  now: { wanted: "a Date", accepts: (value) => value instanceof Date, aliases: [] },
};

/** A chat as one text. */
export interface RenderedChat {
  /** As the tokenizer is to read it, without special tokens of its own around it. */
  readonly text: string;
  /** What stood in `{% generation %}` blocks: UTF-16 positions, the end not included. */
  readonly generated: readonly TextSpan[];
}

/**
 * Renders a chat as `apply_chat_template` of transformers 5.18 does.
 * @throws LoraError where the template refuses the messages or is wrong itself
 */
export function renderChat(
  messages: readonly Message[],
  { template, source, specialTokens, name }: ChatTemplate,
  options: RenderOptions = {},
): RenderedChat {
  checkOptions("renderChat", options, RENDER_RULES);
  const { continueFinalMessage = false, addGenerationPrompt = false, variables = {}, now } = options;
  const continued = continueFinalMessage === true ? "content" : continueFinalMessage;
  if (continued !== false && addGenerationPrompt) {
    fail(name, "a message cannot be continued and another be begun", "ask for one of the two");
  }
  const marked = continued === false ? undefined : markEnd(messages, continued, source, name);
  const rendered = template.render(
    {
      messages: (marked?.messages ?? messages).map(({ train: _, ...message }) => message),
      tools: options.tools ?? null,
      documents: options.documents ?? null,
      add_generation_prompt: addGenerationPrompt,
      ...specialTokens,
      ...variables,
    },
    now,
  );
  return marked ? cutAtMark(rendered, marked.text, name) : rendered;
}

/** What transformers puts behind the message that is continued; the space shows whether the template trims. */
const MARK = "CONTINUE_FINAL_MESSAGE_TAG ";

interface Marked {
  readonly messages: readonly Message[];
  /** The text that is continued. */
  readonly text: string;
}

function markEnd(messages: readonly Message[], field: string, source: string, name: string): Marked {
  const last = messages.at(-1) ?? fail(name, "there is no message to continue");
  const value = last[field] ?? fail(name, `the last message has no ${field} to continue`);
  if (!source.includes(field)) fail(name, `the template knows no field ${field} that could be continued`);
  const before = messages.slice(0, -1);
  if (!Array.isArray(value)) {
    if (typeof value !== "string") return fail(name, `the last message has a ${field} that is no text`);
    return { messages: [...before, { ...last, [field]: value + MARK }], text: value };
  }
  const parts: readonly unknown[] = value;
  const at = parts.findLastIndex((part) => isObject(part) && typeof part.text === "string");
  const part = parts[at] as { readonly text: string } | undefined;
  if (part === undefined) return fail(name, "the last message has no text to continue");
  const changed = parts.with(at, { ...part, text: part.text + MARK });
  return { messages: [...before, { ...last, [field]: changed }], text: part.text };
}

function cutAtMark({ text, generated }: RenderedChat, continued: string, name: string): RenderedChat {
  const at = text.lastIndexOf(MARK.trim());
  if (at < 0 || !text.includes(strip(continued, { left: true, right: true }))) {
    const help = "a template that changes or leaves out parts of a message cannot continue it";
    fail(name, "the last message is not in the rendered chat as it is", help);
  }
  const start = text.slice(0, at);
  const isWhole = text.startsWith(MARK, at);
  const kept = isWhole ? start : strip(start, { left: false, right: true });
  const inside = generated.filter(([from]) => from < kept.length);
  return { text: kept, generated: inside.map(([from, to]) => [from, Math.min(to, kept.length)]) };
}
