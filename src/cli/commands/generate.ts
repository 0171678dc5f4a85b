import { text as readAll } from "node:stream/consumers";
import { type ChatExample, checkChat } from "../../data/chat/chat-rows.ts";
import type { Message } from "../../data/chat/messages.ts";
import { parseJson } from "../../io/json/parse.ts";
import { type Model, requireTokenizer } from "../../load/model.ts";
import { readTextFile } from "../../platform/node-text.ts";
import { type GenerateOptions, generate } from "../../train/text.ts";
import { fail } from "../../util/fail.ts";
import { withTemplateFile } from "../chat-template.ts";
import { adapterReference, openCliAdapter, openCliModel } from "../open.ts";
import type { Settled } from "../settings.ts";
import type { GENERATE_OPTIONS } from "../tables.ts";
import type { Terminal } from "../terminal.ts";

/**
 * `webgpu-lora generate`: the text goes to standard output as it comes, everything else to standard error.
 * @returns the exit code
 */
export async function runGenerate(
  settled: Settled<typeof GENERATE_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const { settings } = settled;
  const prompt = await readPrompt(settings);
  const note = (line: string) => terminal.note(line);
  const adapter = adapterReference(settings.adapter_path, settings);
  const { model: base } = await openCliModel(settings, note);
  const { model } = adapter === undefined ? { model: base } : await openCliAdapter(base, adapter, note);
  const templates = await withTemplateFile(model, settings.chat_template);
  const options = generateOptions(settled);
  const sampling = describeSampling(model.generation, options);
  if (sampling !== undefined) note(sampling);
  const { counted, counts } = countTokens({ ...model, ...templates });
  const started = performance.now();
  for await (const piece of generate(counted, prompt, options)) {
    terminal.write(piece);
    if (terminal.closed) return 0;
  }
  terminal.write("\n");
  printCounts(counts, started, terminal);
  terminal.note(`Peak memory: ${(model.device.memory.stats.peak / 1e9).toFixed(3)} GB`);
  return 0;
}

/** @throws LoraError unless there is a prompt or a chat, and not both */
export function checkGenerateSettings({ settings }: Settled<typeof GENERATE_OPTIONS>): void {
  const { prompt, messages } = settings;
  if (prompt === undefined && messages === undefined) {
    fail("generate", "prompt is missing", "give --prompt TEXT, or a chat with --messages FILE");
  }
  if (prompt !== undefined && messages !== undefined) {
    fail("generate", "prompt and messages are both given", "leave out --prompt or --messages");
  }
}

/** The prompt, or the chat of a file, which may be a list of messages. */
async function readPrompt({ prompt, messages }: GenerateSettings): Promise<string | ChatExample> {
  if (messages === undefined) return prompt === "-" ? readAll(process.stdin) : (prompt ?? "");
  const name = messages === "-" ? "the chat" : messages;
  const json = parseJson(
    messages === "-" ? await readAll(process.stdin) : await readTextFile(messages),
    name,
  );
  return checkChat(name, Array.isArray(json) ? { messages: json as Message[] } : (json as ChatExample));
}

type GenerateSettings = Settled<typeof GENERATE_OPTIONS>["settings"];

/** What is not given on the command line stays away: the model's own sampling counts then. */
function generateOptions({ settings, given }: Settled<typeof GENERATE_OPTIONS>): GenerateOptions {
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
function describeSampling(generation: Model["generation"], options: GenerateOptions): string | undefined {
  const used = Object.entries(generation).filter(([name]) => !(name in options));
  if (used.length === 0) return undefined;
  const list = used.map(
    ([name, value]) => `${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)} ${value}`,
  );
  return `Sampling of the model's generation_config.json: ${list.join(", ")}`;
}

interface Counts {
  prompt: number;
  generated: number;
  /** When the first new token came; the prompt was read by then. */
  firstAt: number;
}

/** A model whose tokenizer counts: `generate` yields text, and a token may give none. */
function countTokens(model: Model): { counted: Model; counts: Counts } {
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

/** mlx-lm's two lines. Its rate leaves out the first token, which belongs to the prompt's time. */
function printCounts({ prompt, generated, firstAt }: Counts, started: number, terminal: Terminal): void {
  const rate = (tokens: number, milliseconds: number) =>
    ((1000 * tokens) / Math.max(milliseconds, 1e-3)).toFixed(3);
  const end = performance.now();
  const read = generated > 0 ? firstAt : end;
  terminal.note(`Prompt: ${prompt} tokens, ${rate(prompt, read - started)} tokens-per-sec`);
  terminal.note(
    `Generation: ${generated} tokens, ${rate(Math.max(0, generated - 1), end - read)} tokens-per-sec`,
  );
}
