import type { ChatContext } from "../data/chat/chat-rows.ts";
import type { Message } from "../data/chat/messages.ts";
import type { Model } from "../load/model.ts";
import { freePositions } from "../models/model.ts";
import { requireModel } from "../nn/module.ts";
import { fail } from "../util/fail.ts";
import { checkOptions, listOf, objectOf, pickOptions, type Rules } from "../util/options.ts";
import { GENERATE_RULES, type GenerateOptions, readPrompt, writeText } from "./generate-text.ts";
import { TextCache } from "./text-cache.ts";

/** Options of a {@link Conversation}. */
export interface ConversationOptions extends GenerateOptions, ChatContext {
  /** What was said before: a system message, say, or a chat that goes on. */
  messages?: readonly Message[];
}

const CONTEXT_RULES: Rules<ChatContext> = {
  tools: listOf(objectOf("an object"), "a list of JSON schemas"),
  documents: listOf(objectOf("an object"), "a list of objects"),
  chat_template_kwargs: objectOf("an object"),
};

const RULES: Rules<ConversationOptions> = {
  ...GENERATE_RULES,
  ...CONTEXT_RULES,
  messages: listOf(objectOf("a message"), "a list of messages"),
};

/**
 * A chat that goes on. What the model has read of it stays read: at each turn it reads what is new, or, where the template
 * writes earlier turns otherwise than before (as those do that drop earlier reasoning), what comes from there on. The answers are
 * those of {@link generate} for all the messages.
 */
export class Conversation {
  /** What was said. May be set to anything: the next turn reads what is new in it. */
  messages: readonly Message[];
  readonly #model: Model;
  readonly #options: GenerateOptions;
  readonly #context: ChatContext;
  readonly #cache: TextCache;
  #isAnswering = false;
  /** The adapters that the cache was filled with, and how often each had been updated. */
  #state: readonly unknown[] = [];

  /**
   * @param model with its list of adapters; where others are put on between two turns, or one is trained, all is read anew
   * @param options how answers are written, and what the template is given with each chat
   * @throws LoraError for unknown or wrong options
   */
  constructor(model: Model, options: ConversationOptions = {}) {
    checkOptions("Conversation", options, RULES);
    requireModel("Conversation", model);
    this.messages = options.messages ?? [];
    this.#model = model;
    this.#options = pickOptions(options, GENERATE_RULES);
    this.#context = pickOptions(options, CONTEXT_RULES);
    this.#cache = new TextCache(model);
  }

  /**
   * Puts a question, or what a tool returned, and yields the answer as it comes, from its first character that is no
   * blank. Question and answer are put behind the messages when the answer ends, or is stopped by whoever reads it, without
   * the blanks at its end, which templates write themselves; where there is no answer the messages stay as they were.
   * @param options take the place of those of the conversation, for this turn
   * @throws LoraError as {@link generate} does, where the chat with the question leaves the model no position, and while
   * another answer is under way
   */
  async *ask(question: string | Message, options: GenerateOptions = {}): AsyncGenerator<string> {
    checkOptions("ask", options, GENERATE_RULES);
    requireModel("ask", this.#model);
    if (this.#isAnswering) fail("ask", "an answer is under way", "read it to its end, or stop it, before");
    const asked = typeof question === "string" ? { role: "user", content: question } : question;
    const messages = [...this.messages, asked];
    let answer: string | undefined;
    this.#isAnswering = true;
    try {
      for await (const text of this.#answer(messages, { ...this.#options, ...options })) {
        const piece = answer ? text : text.trimStart();
        answer = (answer ?? "") + piece;
        if (piece !== "") yield piece;
      }
      answer ??= "";
    } finally {
      this.#isAnswering = false;
      if (answer !== undefined) {
        this.messages = [...messages, { role: "assistant", content: answer.trimEnd() }];
      }
    }
  }

  /** Begins a new chat; system messages stay. */
  reset(): void {
    this.messages = this.messages.filter(({ role }) => role === "system");
  }

  /** Sets the system message, or removes it. */
  setSystem(content: string | undefined): void {
    const rest = this.messages.filter(({ role }) => role !== "system");
    this.messages = content === undefined ? rest : [{ role: "system", content }, ...rest];
  }

  /** Gives the memory of what was read back; the next turn reads all anew. */
  release(): void {
    this.#cache.release();
  }

  async *#answer(messages: readonly Message[], options: GenerateOptions): AsyncGenerator<string> {
    const maxPositions = freePositions(this.#model);
    const prompt = await readPrompt(this.#model, { messages, ...this.#context }, options.chatTemplate);
    if (prompt.ids.length >= maxPositions) {
      const got = `with this message the chat has ${prompt.ids.length} tokens, and the model ${maxPositions} positions`;
      fail("chat", got, "say less, or begin a new chat; this message is dropped");
    }
    const state = this.#model.adapters.all.flatMap((adapter) => [adapter, adapter.parameters?.updates]);
    const isSame = state.length === this.#state.length && state.every((part, i) => part === this.#state[i]);
    if (!isSame) this.#cache.release();
    this.#state = state;
    yield* writeText(this.#model, this.#cache, prompt, options);
  }
}
