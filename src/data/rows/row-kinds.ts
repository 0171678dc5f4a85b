import { isObject, type JsonObject } from "../../util/json.ts";
import { shown } from "../../util/shown.ts";
import { textProblem } from "./fields.ts";

/** Keys by which rows of other tools are known, and a name for them. */
const KINDS: readonly { readonly name: string; readonly keys: readonly string[] }[] = [
  { name: "ShareGPT", keys: ["conversations"] },
  { name: "Alpaca", keys: ["instruction", "output"] },
];

/** How a row says which answer is the better one: by two answers, or by a label of one; undefined where it does not. */
export function preferenceKind(values: JsonObject): "paired" | "unpaired" | undefined {
  const has = (key: string) => Object.hasOwn(values, key);
  if (has("text")) return undefined;
  if (has("chosen") && has("rejected")) return "paired";
  const isJudged = typeof values.label === "boolean" || /^(?:true|false)$/i.test(String(values.label));
  const isAnswer = has("completion") || (!has("messages") && KINDS.some(({ keys }) => keys.every(has)));
  return isJudged && isAnswer ? "unpaired" : undefined;
}

/** What training on one answer can do with a row that prefers. */
const PREFERENCES = {
  paired:
    "is a preference row (chosen, rejected), by which causal-lm cannot be trained: --task dpo and its like learn from it; or leave out rejected, and call chosen completion",
  unpaired:
    "is a preference row (an answer with a label that is true or false), by which causal-lm cannot be trained: --task kto learns from it; or keep the good ones, without the label",
};

/** A row in the keys that training takes: of ShareGPT and Alpaca in those of TRL, others as they are; or what is wrong. */
export function inTrlKeys(values: JsonObject): JsonObject | string {
  const preference = preferenceKind(values);
  return preference === undefined ? fromOtherTools(values) : PREFERENCES[preference];
}

/** The same, whether it prefers or not. */
export function fromOtherTools(values: JsonObject): JsonObject | string {
  const has = (key: string) => Object.hasOwn(values, key);
  if (has("messages") || has("text")) return values;
  const kind = KINDS.find(({ keys }) => keys.every(has))?.name;
  if (kind === "ShareGPT") return fromShareGpt(values);
  return kind === "Alpaca" ? fromAlpaca(values) : values;
}

/** Roles as Vicuna's data, LLaMA-Factory and axolotl have them. */
const ROLES: ReadonlyMap<unknown, string> = new Map([
  ["human", "user"],
  ["user", "user"],
  ["gpt", "assistant"],
  ["chatgpt", "assistant"],
  ["bing", "assistant"],
  ["bard", "assistant"],
  ["assistant", "assistant"],
  ["model", "assistant"],
  ["system", "system"],
  ["tool", "tool"],
  ["observation", "tool"],
  ["function_response", "tool"],
]);

function fromShareGpt({ conversations, system, ...rest }: JsonObject): JsonObject | string {
  if (!Array.isArray(conversations)) return `"conversations" is ${shown(conversations)}, wanted a list`;
  const messages: unknown[] = isFilled(system) ? [{ role: "system", content: system }] : [];
  for (const [i, turn] of conversations.entries()) {
    const message = isObject(turn) && Object.hasOwn(turn, "from") ? messageOf(turn) : turn;
    if (typeof message === "string") return `"conversations"[${i}] ${message}`;
    messages.push(message);
  }
  return { ...rest, tools: isFilled(rest.tools) ? rest.tools : null, messages };
}

/** A turn of ShareGPT as a message, or what is wrong with it. */
export function messageOf({ from, value, ...rest }: JsonObject): JsonObject | string {
  const { weight, ...fields } = rest;
  const train = weight === 0 ? { train: false } : {};
  if (typeof value !== "string") return `has value ${shown(value)}, wanted a text`;
  if (from === "function_call") {
    const calls = callsOf(value);
    return typeof calls === "string" ? calls : { role: "assistant", content: "", tool_calls: calls };
  }
  const role = ROLES.get(from);
  if (role === undefined) {
    return `is from ${shown(from)}, wanted one of ${[...ROLES.keys(), "function_call"].join(", ")}`;
  }
  return { ...fields, role, content: value, ...train };
}

/** Calls are one object with name and arguments, or several in a list, as JSON. */
function callsOf(value: string): JsonObject[] | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    return `(function_call) is ${shown(value)}, wanted JSON with name and arguments`;
  }
  const calls: unknown[] = Array.isArray(parsed) ? parsed : [parsed];
  const isCall = (call: unknown): call is JsonObject =>
    isObject(call) && typeof call.name === "string" && Object.hasOwn(call, "arguments");
  if (calls.length === 0 || !calls.every(isCall)) {
    return `(function_call) is ${shown(value)}, wanted {"name": …, "arguments": …}, or a list of these`;
  }
  return calls.map(({ name, arguments: given }) => ({
    type: "function",
    function: { name, arguments: given },
  }));
}

/**
 * With `system` or `history` a chat, as LLaMA-Factory has them; else the prompt that Stanford Alpaca was trained with and
 * most tools write, which needs no template.
 */
export function fromAlpaca(values: JsonObject): JsonObject | string {
  const { instruction, output, input, system, history } = values;
  const problem =
    textProblem(values, "instruction") ??
    textProblem(values, "output") ??
    (isFilled(input) ? textProblem(values, "input") : undefined) ??
    (isFilled(system) ? textProblem(values, "system") : undefined);
  if (problem !== undefined) return problem;
  if (!isFilled(system) && !isFilled(history)) {
    return {
      prompt: alpacaPrompt(String(instruction), isFilled(input) ? String(input) : ""),
      completion: output,
    };
  }
  const turns = pairsOf(history);
  if (typeof turns === "string") return turns;
  const asked = [instruction, input].filter(isFilled).join("\n");
  const messages = [...turns, [asked, output] as const].flatMap(([user, assistant]) => [
    { role: "user", content: user },
    { role: "assistant", content: assistant },
  ]);
  return { messages: [...(isFilled(system) ? [{ role: "system", content: system }] : []), ...messages] };
}

function pairsOf(history: unknown): (readonly [string, string])[] | string {
  if (!isFilled(history)) return [];
  const isPair = (turn: unknown): turn is [string, string] =>
    Array.isArray(turn) && turn.length === 2 && turn.every((text) => typeof text === "string");
  if (Array.isArray(history) && history.every(isPair)) return history;
  return `"history" is ${shown(history)}, wanted a list of pairs of texts`;
}

/** Text of the format: github.com/tatsu-lab/stanford_alpaca, Apache 2.0. */
function alpacaPrompt(instruction: string, input: string): string {
  const task = "Below is an instruction that describes a task";
  const end = "Write a response that appropriately completes the request.";
  if (input === "") return `${task}. ${end}\n\n### Instruction:\n${instruction}\n\n### Response:\n`;
  const context = `${task}, paired with an input that provides further context. ${end}`;
  return `${context}\n\n### Instruction:\n${instruction}\n\n### Input:\n${input}\n\n### Response:\n`;
}

const isFilled = (value: unknown) =>
  value !== undefined && value !== null && value !== "" && !(Array.isArray(value) && value.length === 0);

/** What a row is, in a word, for a report. */
export function rowKind(values: JsonObject): string {
  if (Object.hasOwn(values, "input_ids")) return "tokens";
  const preference = preferenceKind(values);
  if (preference !== undefined) return `${preference} preferences`;
  if (Object.hasOwn(values, "messages")) return "messages";
  if (Object.hasOwn(values, "text")) return "text";
  const known = KINDS.find(({ keys }) => keys.every((key) => Object.hasOwn(values, key)));
  return known?.name ?? "prompt and completion";
}
