import { isObject, type JsonObject } from "../../util/json.ts";
import { splitLines } from "../../util/lines.ts";
import { shown } from "../../util/shown.ts";
import type { ChatCompletionExample, ChatContext } from "../chat/chat-rows.ts";
import { readContext } from "../chat/chat-rows.ts";
import { type Message, messagesProblem } from "../chat/messages.ts";
import { commonMessages, commonText } from "./common-start.ts";
import type { CompletionExample } from "./examples.ts";
import { fieldProblem, keysOf, textProblem } from "./fields.ts";
import { jsonRows } from "./json-lines.ts";
import { fromAlpaca, fromOtherTools, messageOf, preferenceKind, rowKind } from "./row-kinds.ts";
import { collectRows, type RowReader } from "./rows.ts";

/** Two texts that go on from one prompt, and which is the better one. */
export interface TextPreference {
  /** What both go on from; may be empty. */
  readonly prompt: string;
  /** The better one. */
  readonly chosen: string;
  /** The other one. */
  readonly rejected: string;
  /** By how much the better one is better, for a reward model. */
  readonly margin?: number;
}

/** Two ways in which a chat goes on, and which is the better one. */
export interface ChatPreference extends ChatContext {
  /** How the chat begins. */
  readonly prompt: readonly Message[];
  /** The better way on. */
  readonly chosen: readonly Message[];
  /** The other one. */
  readonly rejected: readonly Message[];
  /** By how much the better one is better, for a reward model. */
  readonly margin?: number;
}

/** Two answers of which one is preferred, as DPO, ORPO, CPO and reward models learn from. */
export type PreferenceExample = TextPreference | ChatPreference;

/** One answer, and whether it is a good one, as KTO learns from. */
export type JudgedExample = (CompletionExample | ChatCompletionExample) & {
  /** Whether such an answer is wanted. */
  readonly label: boolean;
};

/** A row that says which answers are better. */
export type PreferenceRow = PreferenceExample | JudgedExample;

/** Whether a row has two answers. */
export function isPaired(row: PreferenceRow): row is PreferenceExample {
  return "chosen" in row;
}

const WANTED =
  '"prompt", "chosen" and "rejected", or "prompt", "completion" and "label" (or ShareGPT\'s "conversations" or Alpaca\'s "instruction" in place of "prompt")';

/**
 * What learning from preferences takes from the rows of a file, of which it counts the kinds. Paired rows have `chosen` and
 * `rejected`, unpaired ones `completion` and a `label` that is true or false; beside them stands `prompt`, or
 * `conversations` (LLaMA-Factory), `messages`, or `instruction` and `input`. Answers are texts, a message or a list of
 * messages. Where no prompt is there, it is how both answers begin (TRL's `extract_prompt`).
 */
export function preferenceReader(): RowReader<PreferenceRow> {
  const counts = new Map<string, number>();
  return {
    wanted: WANTED,
    read(values) {
      const row = readPreference(values);
      const kind = rowKind(values);
      if (typeof row !== "string") counts.set(kind, (counts.get(kind) ?? 0) + 1);
      return row;
    },
    notes: () => [`  rows of ${Array.from(counts, ([kind, count]) => `${kind}: ${count}`).join(", ")}`],
  };
}

/**
 * Reads rows that say which answers are better from JSON, as `readExamples` reads those of language modelling.
 * @param source the file's text, or its lines one by one
 * @param label the file, for messages
 * @throws LoraError that names every bad line as `label:line: reason`, or says that there are no rows
 */
export function readPreferences(source: string | Iterable<string>, label = "the rows"): PreferenceRow[] {
  const lines = typeof source === "string" ? splitLines(source) : source;
  return collectRows(jsonRows(lines, label), label, preferenceReader());
}

/** A row that says which answers are better, or what is wrong with it. */
export function readPreference(values: JsonObject): PreferenceRow | string {
  if (Object.hasOwn(values, "chosen") || Object.hasOwn(values, "rejected")) return readPaired(values);
  if (Object.hasOwn(values, "label")) return readJudged(values);
  return `has ${keysOf(Object.keys(values)) || "no keys"}, wanted ${WANTED}`;
}

function readPaired(values: JsonObject): PreferenceExample | string {
  const pair = readAnswers(values);
  const margin = values.margin ?? undefined;
  if (typeof pair === "string" || margin === undefined) return pair;
  const number = typeof margin === "string" && margin.trim() !== "" ? Number(margin) : margin;
  if (typeof number === "number" && Number.isFinite(number)) return { ...pair, margin: number };
  return `"margin" is ${shown(margin)}, wanted a number`;
}

function readAnswers(values: JsonObject): PreferenceExample | string {
  const begun = promptOf(values);
  if (typeof begun === "string") return begun;
  const { prompt, context } = begun;
  const answers = [answerOf(values, "chosen"), answerOf(values, "rejected")] as const;
  const problem = answers.find((answer) => "problem" in answer);
  if (problem) return problem.problem;
  const [chosen, rejected] = answers.map((answer) => ("answer" in answer ? answer.answer : "")) as [
    Answer,
    Answer,
  ];
  if (typeof chosen === "string" && typeof rejected === "string") {
    if (prompt === undefined) return splitTexts(chosen, rejected);
    if (typeof prompt === "string") return { prompt, chosen, rejected };
    return readChats(prompt, [assistant(chosen)], [assistant(rejected)], context);
  }
  if (typeof chosen === "string" || typeof rejected === "string") {
    return `"chosen" is ${kindOf(chosen)}, and "rejected" ${kindOf(rejected)}`;
  }
  if (prompt !== undefined && typeof prompt !== "string") return readChats(prompt, chosen, rejected, context);
  if (prompt && chosen[0]?.role === "assistant" && rejected[0]?.role === "assistant") {
    return readChats([{ role: "user", content: prompt }], chosen, rejected, context);
  }
  const start = commonMessages(chosen, rejected);
  if (start === 0) return '"chosen" and "rejected" begin with different messages, and no "prompt" is there';
  return readChats(chosen.slice(0, start), chosen.slice(start), rejected.slice(start), context);
}

const kindOf = (answer: Answer) => (typeof answer === "string" ? "a text" : "a list of messages");

const assistant = (content: string): Message => ({ role: "assistant", content });

function splitTexts(chosen: string, rejected: string): TextPreference | string {
  if (chosen === "" || rejected === "") return 'has no "prompt", and an answer that is empty';
  const start = commonText(chosen, rejected);
  return { prompt: chosen.slice(0, start), chosen: chosen.slice(start), rejected: rejected.slice(start) };
}

function readChats(
  prompt: readonly Message[],
  chosen: readonly Message[],
  rejected: readonly Message[],
  context: ChatContext,
): ChatPreference | string {
  const problem =
    messagesProblem(prompt, "prompt") ??
    messagesProblem(chosen, "chosen") ??
    messagesProblem(rejected, "rejected");
  return problem ?? { prompt, chosen, rejected, ...context };
}

/** What both answers go on from, and what a chat comes with; a sentence where it is wrong. */
function promptOf(
  values: JsonObject,
): { readonly prompt: string | readonly Message[] | undefined; readonly context: ChatContext } | string {
  const read =
    Object.hasOwn(values, "instruction") && !Object.hasOwn(values, "prompt")
      ? openAlpaca(values)
      : fromOtherTools(values);
  if (typeof read === "string") return read;
  const context = readContext(read);
  if (typeof context === "string") return context;
  const prompt = read.messages ?? read.prompt ?? undefined;
  if (prompt === undefined || Array.isArray(prompt)) {
    return { prompt: prompt as readonly Message[] | undefined, context };
  }
  const problem = textProblem({ prompt }, "prompt");
  return problem ?? { prompt: prompt as string, context };
}

/** Alpaca's prompt, without an answer. */
function openAlpaca(values: JsonObject): JsonObject | string {
  const read = fromAlpaca({ ...values, output: "" });
  if (typeof read === "string") return read;
  return Array.isArray(read.messages)
    ? { ...read, messages: read.messages.slice(0, -1) }
    : { prompt: read.prompt };
}

/** An answer: a text, or messages. */
type Answer = string | readonly Message[];

function answerOf(
  values: JsonObject,
  key: string,
): { readonly answer: Answer } | { readonly problem: string } {
  const value = values[key];
  if (typeof value === "string") {
    const problem = textProblem(values, key);
    return problem === undefined ? { answer: value } : { problem };
  }
  const turns: unknown[] | undefined = Array.isArray(value) ? value : isObject(value) ? [value] : undefined;
  if (!turns) return { problem: fieldProblem(values, key, "a text or a list of messages") };
  const messages: Message[] = [];
  for (const [i, turn] of turns.entries()) {
    const message = isObject(turn) && Object.hasOwn(turn, "from") ? messageOf(turn) : turn;
    if (typeof message === "string") return { problem: `"${key}"[${i}] ${message}` };
    messages.push(message as Message);
  }
  const problem = messagesProblem(messages, key);
  return problem === undefined ? { answer: messages } : { problem };
}

function readJudged(values: JsonObject): JudgedExample | string {
  const label = verdictOf(values.label);
  if (label === undefined) return `"label" is ${shown(values.label)}, wanted true or false`;
  if (preferenceKind({ ...values, label }) === undefined && !Array.isArray(values.messages)) {
    return `has ${keysOf(Object.keys(values))}, wanted ${WANTED}`;
  }
  const read = fromOtherTools(values);
  if (typeof read === "string") return read;
  const context = readContext(read);
  if (typeof context === "string") return context;
  if (read.messages !== undefined) return splitAnswer(read.messages, label, context);
  const { prompt, completion } = read;
  if (Array.isArray(prompt) || Array.isArray(completion)) {
    const problem = messagesProblem(prompt, "prompt") ?? messagesProblem(completion, "completion");
    return problem ?? { prompt: prompt as Message[], completion: completion as Message[], ...context, label };
  }
  const problem = textProblem(read, "prompt") ?? textProblem(read, "completion");
  return problem ?? { prompt: prompt as string, completion: completion as string, label };
}

/** Of a whole chat the last message is the answer that is judged. */
function splitAnswer(messages: unknown, label: boolean, context: ChatContext): JudgedExample | string {
  const problem = messagesProblem(messages);
  if (problem !== undefined) return problem;
  const all = messages as readonly Message[];
  if (all.length < 2 || all.at(-1)?.role !== "assistant") {
    return "is a chat that does not end with an answer of the assistant, which the label could be about";
  }
  return { prompt: all.slice(0, -1), completion: all.slice(-1), ...context, label };
}

/** True or false, also as 1 and 0, and as tables of cells have them. */
function verdictOf(value: unknown): boolean | undefined {
  const word = String(value).toLowerCase();
  if (typeof value === "object") return undefined;
  if (word === "true" || word === "1") return true;
  return word === "false" || word === "0" ? false : undefined;
}

/** Each answer of a row by itself, with whether it is the better one (TRL's `unpair_preference_dataset`). */
export function unpaired(row: PreferenceRow): readonly JudgedExample[] {
  if (!isPaired(row)) return [row];
  const { chosen, rejected, margin: _, ...rest } = row;
  return [
    { ...rest, completion: chosen, label: true } as JudgedExample,
    { ...rest, completion: rejected, label: false } as JudgedExample,
  ];
}
